"""No subject, reply subject or header harms its connection, another one, or the service."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from messages.subjects import PREFIX, partition_of, request_subject
from tests.support.checks import KIB, check_refused, check_served, unharmed
from tests.support.raw import ConnectionEndedError, RawClient, encode
from tests.support.service import Service

TRACK = request_subject(PREFIX, "track", "alice")


@pytest.fixture
def client(service: Service) -> Iterator[RawClient]:
    with unharmed(service.url) as client:
        yield client


@pytest.fixture
def other(service: Service) -> Iterator[RawClient]:
    """Another connection, which must not notice anything."""
    with unharmed(service.url) as client:
        yield client


def request_bytes(subject: bytes, reply: bytes, body: bytes = b"{}") -> bytes:
    return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(body), body)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (b"track.\xff", "invalid_user"),
        (b"track.a\xc3", "invalid_user"),
        (b"track.\xed\xa0\x80", "invalid_user"),
        (b"\xff.alice", "unknown_verb"),
        (b"track.a\x0bb", "invalid_user"),
        (b"track.a\x0cb", "invalid_user"),
        (b"track.\x0b", "invalid_user"),
        (b"track.a\x00b", "invalid_user"),
        (b"track.a\x7fb", "invalid_user"),
        (b"track.a\xc2\x85b", "invalid_user"),
        (b"track.a\xe2\x80\xa8b", "invalid_user"),
        (b"tr\x0back.alice", "unknown_verb"),
        (b"track.*", "invalid_user"),
        (b"track.>", "invalid_user"),
        (b"*.alice", "unknown_verb"),
        (b"*.*", "unknown_verb"),
        (b">", "unknown_verb"),
        (b"track.=61", "invalid_user"),
        (b"track.=4", "invalid_user"),
        (b"track.=4a", "invalid_user"),
        (b"track.=FF", "invalid_user"),
        (b"track.=00", "invalid_user"),
        (b"track." + b"x" * 129, "invalid_user"),
        (b"track." + b"=E6=97=A5" * 43, "invalid_user"),
        (b"track." + b"x" * 3_000, "invalid_user"),
        (b"x" * 3_000, "unknown_verb"),
        (b"a.b.c.d.e.f.g.h", "unknown_verb"),
        (b"p.0.track.\xff", "invalid_user"),
        (b"p.%d.track.alice" % ((partition_of("alice") + 1) % 64), "invalid_user"),
        (b"p.\xff.track.alice", "invalid_user"),
        (b"p.99999999999999999999.track.alice", "invalid_user"),
    ],
)
def test_a_bad_subject_is_refused(
    client: RawClient, other: RawClient, token: bytes, code: str
) -> None:
    number, reply = client.reply_subject()
    body = b'{"provider":"exa"}'
    client.send(request_bytes(PREFIX.encode() + b"." + token, reply.encode(), body))
    check_refused(client.reply(number), code)


@pytest.mark.parametrize("token", [b"track..alice", b"track.", b".track.alice", b"track.a.b."])
def test_an_empty_token_gets_an_answer_or_reaches_nobody(
    client: RawClient, other: RawClient, token: bytes
) -> None:
    number, reply = client.reply_subject()
    client.send(request_bytes(PREFIX.encode() + b"." + token, reply.encode()))
    found = client.reply(number)
    assert found.status == "503" or found.json()["error"]["code"] in {
        *("invalid_user", "unknown_verb", "invalid_request"),
    }


@pytest.mark.parametrize(
    "reply",
    [b"\xff\xfe", b"r.\xc3(", b"r.\x0b", b"r.\x00", b"r.*", b"r.>", b"r..x", b"r." + b"x" * 3_500],
)
def test_a_bad_reply_subject_harms_nobody(
    client: RawClient, other: RawClient, reply: bytes
) -> None:
    client.send(request_bytes(b"usage.v1.stats.alice", reply))
    client.send(request_bytes(b"usage.v1.nothing.alice", reply))
    client.send(request_bytes(b"usage.v1.track.alice", reply, b'{"provider":"exa"}'))
    client.flush()
    check_served(client)
    check_served(other)


def test_a_reply_subject_of_any_bytes_gets_its_answer(
    service: Service, client: RawClient, other: RawClient
) -> None:
    for name in ("r.ü", "r.日本"):
        with RawClient(service.url) as listener:
            listener.subscribe(name)
            client.send(request_bytes(b"usage.v1.stats.alice", name.encode()))
            found = listener.next_message()
        assert found.subject == name
        assert found.json()["seq"] >= 0


def test_replies_cannot_be_turned_into_requests(client: RawClient, other: RawClient) -> None:
    before = other.request(request_subject(PREFIX, "stats", "victim")).json()
    for verb in ("reset", "track"):
        target = request_subject(PREFIX, verb, "victim").encode()
        client.send(request_bytes(b"usage.v1.stats.alice", target))
        client.send(request_bytes(b"usage.v1.nothing.alice", target))
    client.flush()
    check_served(client)
    assert other.request(request_subject(PREFIX, "stats", "victim")).json() == before


HEADERS = [
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 \xff\xff\r\n\r\n",
    b"NATS/1.0 999 \xff\xfe\xfd\r\nA: b\r\n\r\n",
    b"\xff\xff\xff\xff\r\n\r\n",
    b"garbage\r\n\r\n",
    b"NATS/1.0\r\n\xff\xfe: \xfd\r\n\r\n",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/1.0\r\n: \r\n:\r\n\r\n",
    b"NATS/1.0\r\nA:" + b"x" * 60_000 + b"\r\n\r\n",
    b"NATS/1.0\r\n" + b"A: b\r\n" * 5_000 + b"\r\n",
    b"\r\n\r\n",
    b"x",
]


@pytest.mark.parametrize("head", HEADERS, ids=range(len(HEADERS)))
@pytest.mark.parametrize("subject", [TRACK, "$SRV.PING.meterd", "usage.v1.ctl.claim.meterd"])
def test_a_bad_header_block_harms_nobody(
    client: RawClient, other: RawClient, head: bytes, subject: str
) -> None:
    number, reply = client.reply_subject()
    body = b'{"provider":"exa"}'
    sizes = b"%d %d" % (len(head), len(head) + len(body))
    client.send(
        b"HPUB %b %b %b\r\n%b%b\r\n"
        % (
            subject.encode(),
            reply.encode(),
            sizes,
            head,
            body,
        )
    )
    if subject == TRACK:
        assert client.reply(number).json()["usage_logged"]
    client.flush()
    check_served(client)
    check_served(other)
    assert other.request("$SRV.PING.meterd").json()["name"] == "meterd"


@pytest.mark.parametrize("key", [b"", b"\xff", b"x" * 129])
def test_a_bad_message_id_is_refused(client: RawClient, other: RawClient, key: bytes) -> None:
    number, reply = client.reply_subject()
    head = b"NATS/1.0\r\nNats-Msg-Id: " + key + b"\r\n\r\n"
    body = b'{"provider":"exa"}'
    sizes = b"%d %d" % (len(head), len(head) + len(body))
    client.send(b"HPUB %b %b %b\r\n%b%b\r\n" % (TRACK.encode(), reply.encode(), sizes, head, body))
    check_refused(client.reply(number), "invalid_request", "event_id")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'{"id":1}', b'{"id":"","holds":true}']
)
@pytest.mark.parametrize("subject", ["usage.v1.ctl.claim.meterd", "$SRV.STATS", "$SRV.INFO.meterd"])
def test_control_subjects_take_anything(
    client: RawClient, other: RawClient, subject: str, body: bytes
) -> None:
    assert client.request(subject, body).json()["id"]


@pytest.mark.parametrize(
    "data",
    [
        encode(TRACK, b"x" * (KIB * KIB + 1)),
        b"PUB usage.v1.track." + b"x" * 5_000 + b" 2\r\n{}\r\n",
        b"\x00\xff nonsense\r\n",
    ],
    ids=["payload", "control line", "nonsense"],
)
def test_input_that_the_server_refuses_ends_only_its_own_connection(
    service: Service, other: RawClient, data: bytes
) -> None:
    with RawClient(service.url) as client:
        check_served(client)
        try:
            client.send(data)
            errors = client.wait_end()
        except ConnectionEndedError:
            errors = client.errors
        assert len(errors) <= 1
    check_served(other)


def test_the_service_never_said_a_word_of_a_defect(service: Service) -> None:
    events = [
        json.loads(line)["event"] for line in service.stderr.splitlines() if line.startswith("{")
    ]
    assert not {event for event in events if event.endswith("_failed")}
