"""What arrives below the prefix: decoded, bounded and routed, or refused at once."""

from __future__ import annotations

from typing import Any

import pytest

from messages.codec import BATCH_BYTES_MAX, BODY_BYTES_MAX
from messages.errors import ERRORS
from messages.subjects import PARTITIONS, encode_user, partition_of
from messages.verbs import CATALOG_COMMANDS, COMMANDS
from tests.support.rig import Answer, Logs, Rig

TRACK = b'{"provider":"tavily"}'


async def served(rig: Rig, subject: str, payload: bytes = TRACK, headers: bytes = b"") -> Answer:
    return await rig.answer(rig.deliver(subject, payload, headers=headers))


def refused(answer: Answer, code: str, field: str | None = None) -> None:
    assert answer.headers is not None
    assert answer.code == code
    assert answer.error["field"] == field
    assert answer.headers["Nats-Service-Error-Code"] == str(ERRORS[code].number)
    text = answer.headers["Nats-Service-Error"]
    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize("user", ["alice", "a b", "日本", "=", "a.b", "*", ">", "x" * 128])
async def test_every_user_id_has_a_token_that_is_served(rig: Rig, user: str) -> None:
    token = encode_user(user)
    assert (await served(rig, f"usage.v1.track.{token}")).body["seq"] == 2
    partition = partition_of(token)
    assert (await served(rig, f"usage.v1.p.{partition}.track.{token}")).body["seq"] == 3
    assert {row.user for row in await rig.inner.rows(0, 10)} == {user}
    assert {row.partition for row in await rig.inner.rows(0, 10)} == {partition}


@pytest.mark.parametrize(
    "token",
    [
        *("=61", "=4a", "a=", "a=4", "=ZZ", "a@b", "ä", "=FF", "=C3", "a b", "a\x0bb", "a\x0cb"),
        *(
            "",
            "*",
            "=00",
            "=0A",
            "=7F",
            "x" * 129,
            "=E6=97=A5" * 43,
            "\udcff",
            "a\udc80",
            "=ED=A0=80",
        ),
    ],
)
async def test_a_token_that_is_not_the_encoding_of_a_user_id_is_refused(
    rig: Rig, token: str
) -> None:
    refused(await served(rig, f"usage.v1.track.{token}"), "invalid_user")
    refused(await served(rig, f"usage.v1.p.0.track.{token}"), "invalid_user")
    assert len(rig.registry) == 0


async def test_only_the_users_own_partition_is_served(rig: Rig) -> None:
    own = str(partition_of("alice"))
    wrong = [*map(str, range(-1, PARTITIONS + 1)), f"0{own}", f"+{own}", "", "x", "٣", "1e1"]
    wrong.remove(own)
    for partition in wrong:
        refused(await served(rig, f"usage.v1.p.{partition}.track.alice"), "invalid_user")
    assert len(rig.registry) == 0
    assert (await served(rig, f"usage.v1.p.{own}.track.alice")).code == ""


@pytest.mark.parametrize(
    "subject",
    [
        *("nothing.alice", "Track.alice", "alert.alice", "event.alice", "nothing.alice", "p.alice"),
        *("catalog.plans.take", "p.1", "p.1.nothing.a.b", "", "."),
        *("p.8.nothing.alice", "tr\udcffck.alice", "*.alice", "x.y.z.alice", "a" * 4000),
    ],
)
async def test_a_subject_that_is_no_verb_is_unknown_verb(rig: Rig, subject: str) -> None:
    answer = await served(rig, f"usage.v1.{subject}", b"{}")
    refused(answer, "unknown_verb")
    assert len(answer.payload) < 1_000


@pytest.mark.parametrize(
    "subject",
    ["alert.alice.tavily_calls.80", "event.reset.alice", "event.period_opened.a", "ctl.claim.x"],
)
async def test_a_publication_of_the_service_itself_is_no_request(rig: Rig, subject: str) -> None:
    for reply in ("", "to.me"):
        rig.deliver(f"usage.v1.{subject}", b"{}", reply=reply, answered=False)
    await rig.ask("stats")
    assert "to.me" not in rig.link.answers
    asked = {verb: tally.requests for verb, tally in rig.service._edge.tallies.items()}
    assert {verb: count for verb, count in asked.items() if count} == {"stats": 1}


@pytest.mark.parametrize("status", ["404 No Messages", "408 Request Timeout", "503"])
async def test_a_message_of_the_server_itself_is_no_request(rig: Rig, status: str) -> None:
    # A caller can have it sent anywhere, and an empty body is a good one of `reset`.
    await rig.answer(rig.track())
    headers = f"NATS/1.0 {status}\r\n\r\n".encode()
    rig.deliver("usage.v1.reset.alice", headers=headers, reply="to.me", answered=False)
    assert (await rig.ask("stats")).body["total_calls"] == 1
    assert "to.me" not in rig.link.answers


@pytest.mark.parametrize("head", ["NATS/1.0", "NATS/1.0 ", "NATS/1.0\r\nStatus: 404"])
async def test_headers_without_a_status_are_those_of_a_request(rig: Rig, head: str) -> None:
    answer = await served(rig, "usage.v1.stats.alice", b"", f"{head}\r\n\r\n".encode())
    assert answer.code == ""


async def test_a_body_makes_a_request_whatever_its_headers_begin_with(rig: Rig) -> None:
    headers = b"NATS/1.0 404 No Messages\r\n\r\n"
    assert (await served(rig, "usage.v1.stats.alice", b"{}", headers)).code == ""


async def test_a_verb_without_a_user_is_invalid_user(rig: Rig) -> None:
    refused(await served(rig, "usage.v1.track"), "invalid_user")
    refused(await served(rig, "usage.v1.track."), "invalid_user")


@pytest.mark.parametrize(
    ("subject", "right"),
    [
        ("track.alice@example.com", "alice=40example=2Ecom"),
        ("stats.a.b", "a=2Eb"),
        ("track.a@b", "a=40b"),
        ("p.1.track.a.b", "a=2Eb"),
        ("reset.a..b.", "a=2E=2Eb=2E"),
        ("track.alice=40example.com", None),  # half encoded: nobody knows what was meant
        ("p.1.track", "the last token"),
        ("track." + "a." * 200, None),
        ("track.\udcff.x", None),
    ],
)
async def test_a_verb_with_a_wrong_number_of_tokens_is_told_the_right_token(
    rig: Rig, subject: str, right: str | None
) -> None:
    body = b'{"provider":"exa"}' if "track" in subject else b"{}"
    answer = await served(rig, f"usage.v1.{subject}", body)
    refused(answer, "invalid_user")
    message = answer.error["message"]
    if right is None:
        assert "the token of" not in message
    else:
        assert message.endswith(right) or right in message
    assert len(answer.payload) < 1_500


async def test_a_subject_with_too_many_tokens_still_names_the_key_of_its_request(rig: Rig) -> None:
    body = b'{"provider":"exa","event_id":"k"}'
    answer = await served(rig, "usage.v1.track.alice@example.com", body)
    assert answer.error["event_id"] == "k"


async def test_other_verbs_without_a_reply_subject_are_ignored(rig: Rig) -> None:
    rig.deliver("usage.v1.a.b.c.d.e", b"", reply="")
    rig.deliver("usage.v1.nothing.alice", b"", reply="")
    assert list(rig.link.answers) == []


@pytest.mark.parametrize("verb", COMMANDS)
async def test_the_size_of_a_body_is_bounded_before_it_is_read(rig: Rig, verb: str) -> None:
    size = BATCH_BYTES_MAX if verb == "batch" else BODY_BYTES_MAX
    fits = b" " * (size - 2) + b"{}"
    answer = await served(rig, f"usage.v1.{verb}.alice", fits)
    assert answer.code in {"", "invalid_request"}
    refused(await served(rig, f"usage.v1.{verb}.alice", fits + b" "), "too_large")


@pytest.mark.parametrize("verb", COMMANDS)
async def test_an_empty_body_means_an_empty_object(rig: Rig, verb: str) -> None:
    empty = await served(rig, f"usage.v1.{verb}.alice", b"")
    same = await served(rig, f"usage.v1.{verb}.alice", b"{}")
    assert empty.code == same.code
    if empty.code:  # each has a key of its own, made by the service
        assert {**empty.error, "event_id": ""} == {**same.error, "event_id": ""}


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", None),
        (b"nul", None),
        (b"[]", None),
        (b'"x"', None),
        (b"\xff\xfe{}", None),
        (b'{"no_such_field": 1}', "no_such_field"),
        (b'{"deadline": "2026-01-01T00:00:00"}', "deadline"),
        (b'{"deadline": 5}', "deadline"),
        (b"[" * 5000 + b"]" * 5000, None),
        (b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", "x"),
    ],
)
async def test_an_invalid_body_is_refused_and_its_field_named(
    rig: Rig, verb: str, body: bytes, field: str | None
) -> None:
    refused(await served(rig, f"usage.v1.{verb}.alice", body), "invalid_request", field)
    assert (await served(rig, "usage.v1.track.alice")).code == ""


@pytest.mark.parametrize("rest", [b" {}", b"}", b"\x00", b",", b"\xff"])
async def test_a_body_with_more_behind_it_is_refused(rig: Rig, rest: bytes) -> None:
    refused(await served(rig, "usage.v1.track.alice", TRACK + rest), "invalid_request")


def block(*lines: bytes) -> bytes:
    return b"NATS/1.0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        (block(b"Nats-Msg-Id: k"), "k"),
        (block(b"Nats-Msg-Id:k"), "k"),
        (block(b"a: b", b"Nats-Msg-Id:   k  "), "k"),
        (block(b"Nats-Msg-Id: a:b"), "a:b"),
        (block("Nats-Msg-Id: é".encode()), "é"),
        (block(b"nats-msg-id: k"), None),
        (block(b"X-Nats-Msg-Id: k"), None),
        (block(b"Nats-Msg-Id"), None),
        (block(b"\xff\xfe: \xff"), None),
        (b"garbage", None),
        (b"NATS/1.0 \xff\xff\r\n\r\n", None),
        (b"\r\n\r\n", None),
        (b":::\r\n:\r\n", None),
    ],
)
async def test_the_key_is_read_from_any_header_block(
    rig: Rig, headers: bytes, key: str | None
) -> None:
    body = (await served(rig, "usage.v1.track.alice", TRACK, headers)).body
    assert body["usage_logged"]
    assert body["event_id"] == key or (key is None and len(body["event_id"]) > 16)


@pytest.mark.parametrize("value", [b"", b" ", b"x" * 129, b"\xff", b"\xed\xa0\x80"])
async def test_a_message_id_that_can_be_no_key_is_refused(rig: Rig, value: bytes) -> None:
    headers = block(b"Nats-Msg-Id: " + value)
    refused(
        await served(rig, "usage.v1.track.alice", TRACK, headers), "invalid_request", "event_id"
    )
    in_body = b'{"provider":"tavily","event_id":"k"}'
    answer = await served(rig, "usage.v1.track.alice", in_body, headers)
    assert answer.body["event_id"] == "k"
    assert (await served(rig, "usage.v1.stats.alice", b"", headers)).code == ""


async def test_nothing_that_a_defect_raises_reaches_the_connection(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, lines: Logs
) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("password=hunter2")

    body = b'{"provider":"tavily","deadline":"2999-01-01T00:00:00Z"}'
    for target in ("actors.edge.dispatch.to_micros", "actors.runtime.registry.Cell"):
        with monkeypatch.context() as patched:
            patched.setattr(target, broken)
            answer = await served(rig, "usage.v1.track.alice", body)
        refused(answer, "internal")
        assert "hunter2" not in repr(answer)
        assert lines[-1]["error_id"] == answer.error["error_id"]
    assert (await served(rig, "usage.v1.track.alice")).code == ""


async def test_the_figures_of_discovery_count_the_requests_and_errors_of_each_verb(
    rig: Rig,
) -> None:
    await served(rig, "usage.v1.track.alice")
    await served(rig, "usage.v1.track.alice", b'{"provider":"nobody"}')
    await served(rig, "usage.v1.track.alice", b"{")
    await served(rig, "usage.v1.stats.a=b", b"")
    tallies = rig.service._edge.tallies
    assert {verb: (tally.requests, tally.errors) for verb, tally in tallies.items()} == {
        **dict.fromkeys([*COMMANDS, *CATALOG_COMMANDS], (0, 0)),
        "track": (3, 2),
        "stats": (1, 1),
    }
    assert "not JSON" in tallies["track"].last_error
    assert "invalid_user" in tallies["stats"].last_error
    figures = rig.service._figures()
    assert [figures["waiting"], figures["live_users"], figures["durable_seq"]] == [0, 1, 2]
