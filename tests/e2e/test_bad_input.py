"""No body that a client sends harms its connection, another one, or the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from messages.subjects import PREFIX, request_subject
from tests.support.checks import KIB, check_refused, check_served, unharmed
from tests.support.raw import RawClient
from tests.support.service import Service
from tests.tools.bench.stage import cpu_seconds

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


DEEP = 5_000
BODIES: list[tuple[str, Any, str, str | None]] = [
    ("not JSON", b"{provider}", "invalid_request", None),
    ("cut off", b'{"provider":"ex', "invalid_request", None),
    ("no object", b"[]", "invalid_request", None),
    ("nothing but a string", b'"exa"', "invalid_request", None),
    ("control characters", b"\x00\x01\x02", "invalid_request", None),
    ("not UTF-8", b"\xff\xfe\xfd", "invalid_request", None),
    ("not UTF-8 in a string", b'{"provider":"\xff"}', "invalid_request", None),
    ("a lone surrogate", b'{"provider":"exa","endpoint":"\\ud800"}', "invalid_request", None),
    ("NaN", b'{"provider":"exa","cost":NaN}', "invalid_request", None),
    ("deep lists", b"[" * DEEP + b"]" * DEEP, "invalid_request", None),
    ("deep and open", b'{"a":' * DEEP, "invalid_request", "a"),
    (
        "deep in a field",
        b'{"provider":' + b"[" * DEEP + b"]" * DEEP + b"}",
        "invalid_request",
        "provider",
    ),
    (
        "deep in money",
        b'{"provider":"exa","cost":' + b"[" * DEEP + b"]" * DEEP + b"}",
        "invalid_request",
        "cost",
    ),
    ("unknown field", {"provider": "exa", "nothing": 1}, "invalid_request", "nothing"),
    ("missing field", {}, "invalid_request", "provider"),
    ("unknown provider", {"provider": "nobody"}, "unknown_provider", "provider"),
    ("wrong type", {"provider": 1}, "invalid_request", "provider"),
    (
        "text for a number",
        {"provider": "exa", "tokens_input": "1"},
        "invalid_request",
        "tokens_input",
    ),
    (
        "float for an integer",
        b'{"provider":"exa","tokens_input":1.0}',
        "invalid_request",
        "tokens_input",
    ),
    (
        "true for an integer",
        {"provider": "exa", "tokens_input": True},
        "invalid_request",
        "tokens_input",
    ),
    ("negative", {"provider": "exa", "tokens_input": -1}, "invalid_request", "tokens_input"),
    (
        "too many tokens",
        {"provider": "exa", "tokens_input": 10**9 + 1},
        "invalid_request",
        "tokens_input",
    ),
    (
        "a number of 5,000 digits",
        b'{"provider":"exa","tokens_input":' + b"9" * 5000 + b"}",
        "invalid_request",
        "tokens_input",
    ),
    ("negative money", {"provider": "exa", "cost": -0.01}, "invalid_request", "cost"),
    ("money in a string", {"provider": "exa", "cost": "1"}, "invalid_request", "cost"),
    ("too much money", b'{"provider":"exa","cost":1000000.000000001}', "invalid_request", "cost"),
    ("huge money", b'{"provider":"exa","cost":1e300000}', "invalid_request", "cost"),
    ("absurd money", b'{"provider":"exa","cost":1e' + b"9" * 400 + b"}", "invalid_request", "cost"),
    (
        "money of 60,000 digits",
        b'{"provider":"exa","cost":' + b"9" * 60_000 + b"}",
        "invalid_request",
        "cost",
    ),
    (
        "a time without a zone",
        {"provider": "exa", "timestamp": "2026-01-01T00:00:00"},
        "invalid_request",
        "timestamp",
    ),
    (
        "a time far ahead",
        {"provider": "exa", "timestamp": "9999-12-31T23:59:59Z"},
        "timestamp_out_of_range",
        "timestamp",
    ),
    (
        "a time long ago",
        {"provider": "exa", "timestamp": "0001-01-01T00:00:00Z"},
        "timestamp_out_of_range",
        "timestamp",
    ),
    (
        "a part over its whole",
        {"provider": "exa", "tokens_cache_read": 1},
        "invalid_request",
        "tokens_cache_read",
    ),
    ("long text", {"provider": "x" * 257}, "invalid_request", "provider"),
    ("an empty key", {"provider": "exa", "event_id": ""}, "invalid_request", "event_id"),
    ("a body over its size", b" " * (64 * KIB + 1), "too_large", None),
    ("a body of almost 1 MiB", b" " * (KIB * KIB - 1), "too_large", None),
]


CLIPPED = [
    ("too fine money", b'{"provider":"exa","cost":1e-10}', ["cost"]),
    ("60,000 zeros", b'{"provider":"exa","cost":1.' + b"0" * 60_000 + b"1}", ["cost"]),
    (
        "too many pairs",
        {"provider": "exa", "metadata": dict.fromkeys("abcdefghijklmnopq", "")},
        None,
    ),
    ("a pair that is none", {"provider": "exa", "metadata": {"a": 1}}, None),
    ("a long text", {"provider": "exa", "error_message": "🙂" * 5_000}, ["error_message"]),
]


@pytest.mark.parametrize(
    ("body", "names"), [row[1:] for row in CLIPPED], ids=[row[0] for row in CLIPPED]
)
def test_a_body_with_side_fields_that_do_not_fit_is_counted_and_says_so(
    client: RawClient, body: Any, names: list[str] | None
) -> None:
    reply = client.request(TRACK, body)
    assert reply.json()["clipped"] == (names or ["metadata"])


@pytest.mark.parametrize(
    ("body", "code", "field"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES]
)
def test_a_bad_body_is_refused_in_no_time(
    service: Service,
    client: RawClient,
    other: RawClient,
    body: Any,
    code: str,
    field: str | None,
) -> None:
    check_served(client)  # what the first request of a user costs is not the body's
    before = cpu_seconds(service.pid)  # it does not go on while others have the machine
    reply = client.request(TRACK, body)
    took = cpu_seconds(service.pid) - before
    check_refused(reply, code, field)
    assert took < 0.1


def test_any_text_of_json_is_stored_and_shown_as_it_came(client: RawClient) -> None:
    subject = request_subject(PREFIX, "track", "texts")
    texts = ["", "\x00", "a\x00b", "\u2028", "\x7f", "é日🙂", "'; DROP TABLE log; --", "\\", '"']
    for n, text in enumerate(texts):
        body = {
            "provider": "exa",
            "event_id": text or "empty",
            "endpoint": text,
            "metadata": {text: text},
            "error_message": text,
        }
        first = client.request(subject, body).json()
        again = client.request(subject, body).json()
        assert again == first | {"duplicate": True}, text
        found = client.request(
            request_subject(PREFIX, "logs", "texts"), {"event_id": body["event_id"]}
        ).json()["logs"]
        assert [(e["endpoint"], e["metadata"], e["error_message"]) for e in found] == [
            (text, {text: text}, text)
        ], n


def test_pages_of_logs_end_before_900_kib_and_a_walk_shows_each_event_once(
    client: RawClient, other: RawClient
) -> None:
    track, logs = (request_subject(PREFIX, verb, "large") for verb in ("track", "logs"))
    large = {
        "provider": "exa",
        "error_message": "é" * 4_096,
        "endpoint": "日" * 1_024,
        "user_agent": "🙂" * 256,
        "metadata": {f"{n:02}" + "é" * 62: "日🙂" * 128 for n in range(16)},
    }

    def body(key: str) -> bytes:
        return json.dumps(large | {"event_id": key}, ensure_ascii=False).encode()

    numbers = [client.post(track, body(f"k{n}")) for n in range(120)]
    for number in numbers:
        assert client.reply(number).json()["usage_logged"]
    shown: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        page = client.request(logs, {"limit": 1_000} | ({"cursor": cursor} if cursor else {}))
        assert len(page.body) <= 900 * KIB
        found = json.loads(page.body)
        assert found["logs"]
        assert found["total_count"] == (None if cursor else 120)
        shown += [entry["event_id"] for entry in found["logs"]]
        if pages == 0:
            client.request(track, body("later"))
        cursor, pages = found["next_cursor"], pages + 1
    assert shown == [f"k{n}" for n in reversed(range(120))]
    assert pages > 2


def test_the_service_never_said_a_word_of_a_defect(service: Service) -> None:
    events = [
        json.loads(line)["event"] for line in service.stderr.splitlines() if line.startswith("{")
    ]
    assert not {event for event in events if event.endswith("_failed")}
