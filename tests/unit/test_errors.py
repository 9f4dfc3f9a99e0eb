from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from messages.codec import decode_error, encode_reply, error_headers
from messages.errors import ERRORS, ErrorReply, InvalidRequest, RequestError
from messages.refusals import clip

# The table of the contract, section 2.
TABLE = {
    "invalid_request": (400, False),
    "invalid_user": (400, False),
    "unknown_verb": (404, False),
    "unknown_provider": (404, False),
    "unknown_unit": (404, False),
    "unknown_plan": (404, False),
    "unknown_price": (404, False),
    "unknown_hold": (404, False),
    "unknown_alert": (404, False),
    "unknown_period": (404, False),
    "idempotency_mismatch": (409, False),
    "too_large": (413, False),
    "timestamp_out_of_range": (422, False),
    "overloaded": (503, True),
    "unavailable": (503, True),
    "deadline_exceeded": (504, True),
    "outcome_unknown": (500, True),
    "internal": (500, False),
}


def test_the_codes_are_those_of_the_contract() -> None:
    assert {code: (row.number, row.retryable) for code, row in ERRORS.items()} == TABLE
    assert all(row.meaning for row in ERRORS.values())


@pytest.mark.parametrize("code", TABLE)
def test_an_error_reply_has_every_field_and_tells_the_client_all(code: str) -> None:
    now = datetime(2026, 3, 15, 12, microsecond=7, tzinfo=UTC)
    error = RequestError(
        code, "no", field="cost", retry_after=1.5, event_id="e-1", error_id="d-1", now=now
    )
    raw = encode_reply(ErrorReply(error.body("another")))
    assert json.loads(raw) == {
        "error": {
            "code": code,
            "message": "no",
            "field": "cost",
            "retryable": TABLE[code][1],
            "retry_after": 1.5,
            "event_id": "e-1",
            "error_id": "d-1",
            "now": "2026-03-15T12:00:00.000007Z",
        }
    }
    assert vars(decode_error(raw)) == vars(error)
    assert decode_error(raw).retryable is TABLE[code][1]


@pytest.mark.parametrize("code", TABLE)
@pytest.mark.parametrize("retryable", [True, False])
def test_an_error_can_say_of_itself_whether_a_retry_helps(code: str, *, retryable: bool) -> None:
    raw = encode_reply(ErrorReply(RequestError(code, "no", retryable=retryable).body()))
    assert json.loads(raw)["error"]["retryable"] is retryable
    assert decode_error(raw).retryable is retryable


def test_fields_that_do_not_apply_are_null() -> None:
    raw = encode_reply(ErrorReply(InvalidRequest("no").body()))
    found = json.loads(raw)["error"]
    absent = ("field", "retry_after", "event_id", "error_id")
    assert {name: found[name] for name in absent} == dict.fromkeys(absent)


def test_an_error_names_the_key_of_its_request_if_it_has_no_key_of_its_own() -> None:
    assert RequestError("outcome_unknown", "no").body("e-1").event_id == "e-1"


@pytest.mark.parametrize("code", TABLE)
def test_the_headers_mark_an_error_reply_for_nats_services(code: str) -> None:
    assert error_headers(RequestError(code, "some text")) == {
        "Nats-Service-Error": "some text",
        "Nats-Service-Error-Code": str(TABLE[code][0]),
    }


@pytest.mark.parametrize("text", ["a\r\nEvil: 1", "\x00", "ünicode", "x" * 10_000, "\ud800"])
def test_no_text_breaks_out_of_a_header(text: str) -> None:
    shown = error_headers(RequestError("internal", text))["Nats-Service-Error"]
    assert shown == clip(text)
    assert len(shown) == min(len(text), 200)
    assert shown.isascii()
    assert shown.isprintable()


def test_a_code_of_a_newer_service_is_kept_and_not_retried() -> None:
    error = decode_error(b'{"error":{"code":"new","message":"m","added":1}}')
    assert (error.code, error.retryable) == ("new", False)
