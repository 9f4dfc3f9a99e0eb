from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from actors.billing.idempotency import original
from messages.codec import encode_reply
from messages.dimensions import COUNT_FIELDS
from messages.errors import InvalidRequest, RequestError
from messages.usage import Reset, ResetReply, Track, TrackReply
from tests.support.meter import NOON, Meter, a_reset, a_track, plan

# Every field that is content, with its default if it has one, and two values apart from it.
CONTENT: dict[str, tuple[Any, Any, Any]] = {
    "provider": ("openai", "gemini", "huggingface"),
    "endpoint": ("", "/v1/chat", "/v1/chat/"),
    "method": ("POST", "GET", "post"),
    "model_used": ("gpt-4o-mini", "gpt-4o", "GPT-4o"),
    "actual_provider_name": ("openai", "azure", "Azure"),
    **{field: (0, 1, 2) if "tokens" in field else (None, 0, 1) for field in COUNT_FIELDS},
    "tokens_input": (0, 600, 700),
    "tokens_output": (0, 600, 700),
    "response_time": (0, 0.1, 0.2),
    "status_code": (200, 201, 500),
    "request_size": (None, 0, 1),
    "response_size": (None, 0, 1),
    "user_agent": (None, "a", "b"),
    "ip_address": (None, "::1", "::2"),
    "error_message": (None, "a", "b"),
    "retry_count": (0, 1, 2),
    "cost": (None, 0, Decimal("0.000000001")),
    "hold_id": (None, "h-1", "h-2"),
    "metadata": ({}, {"k": "v"}, {"k": "w"}),
    "outcome": ("ok", "failed", "cancelled"),
    "key": (None, "k-1", "k-2"),
    "token_parts": ({}, {"input_audio": 5}, {"input_audio": 6}),
    "token_counting": ("inclusive", "exclusive", "inclusive"),
    "price_variant": ("", "batch", "flex"),
    "price_factors": ([], ["us", "fast"], ["us"]),
    "tags": ({}, {"team": "a", "app": "b"}, {"team": "b"}),
    "units": ({}, {"seconds": 1.5, "characters": 2}, {"seconds": 1.5}),
}
NO_CONTENT = {"event_id", "deadline", "timestamp"}
PARTS: dict[str, Any] = {"tokens_input": 500, "tokens_output": 500}


def body(**fields: Any) -> dict[str, Any]:
    """A body whose parts are within their wholes, whatever the fields say."""
    return {"provider": "openai", **PARTS, "event_id": "e-1", **fields}


def logged(**fields: Any) -> Meter:
    meter = Meter(terms=plan({}))
    meter.track(**body(**fields))
    return meter


def again(meter: Meter, command: Track | Reset) -> TrackReply | ResetReply:
    """The answer to a command whose key is that of the newest row."""
    row = meter.log[-1]
    assert row.key is not None
    reply = original(command, row.event, row.personal, row.key, row.seq, row.at, meter.catalog)
    if isinstance(command, Track):
        return msgspec.json.decode(reply, type=TrackReply)
    return msgspec.json.decode(reply, type=ResetReply)


def mismatch(meter: Meter, command: Track | Reset) -> None:
    with pytest.raises(RequestError) as caught:
        again(meter, command)
    error = caught.value
    assert (error.code, error.field, error.event_id) == ("idempotency_mismatch", "event_id", "e-1")


def test_the_table_names_every_field_that_is_content() -> None:
    assert set(CONTENT) | NO_CONTENT == {field.name for field in msgspec.structs.fields(Track)}


@pytest.mark.parametrize("field", CONTENT)
def test_the_same_content_gets_the_original_reply_marked_as_a_duplicate(field: str) -> None:
    for value in CONTENT[field]:
        meter = Meter(terms=plan({"openai_calls": 1}))
        first = meter.track(**body(**{field: value}))
        before = meter.account.seq
        repeated = again(meter, a_track(**body(**{field: value})))
        assert encode_reply(repeated) == encode_reply(first).replace(
            b'"duplicate":false', b'"duplicate":true'
        )
        assert meter.account.seq == before


@pytest.mark.parametrize("field", CONTENT)
def test_other_content_under_the_same_key_is_a_mismatch(field: str) -> None:
    values = CONTENT[field]
    for first in values:
        for other in values:
            if first != other:
                mismatch(logged(**{field: first}), a_track(**body(**{field: other})))


@pytest.mark.parametrize("field", [name for name in CONTENT if name not in {"provider", *PARTS}])
def test_a_default_that_is_left_out_is_the_same_content_as_one_that_is_sent(field: str) -> None:
    default = CONTENT[field][0]
    assert again(logged(), a_track(**body(**{field: default}))).duplicate
    assert again(logged(**{field: default}), a_track(**body())).duplicate
    assert again(logged(**{field: default}), a_track(**body(**{field: None}))).duplicate


@pytest.mark.parametrize("field", sorted(PARTS))
def test_zero_tokens_are_the_same_content_as_absent_tokens(field: str) -> None:
    assert again(logged(**{field: 0}), a_track(**body(**{field: None}))).duplicate


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"provider": "mistral"}, {"provider": "huggingface"}),
        ({"model_used": ""}, {"model_used": "gpt-4o-mini"}),
        ({"cost": Decimal("1.50")}, {"cost": Decimal("1.5")}),
        ({"cost": 2}, {"cost": Decimal("20E-1")}),
        ({"units": {"seconds": 2}}, {"units": {"seconds": Decimal("20E-1")}}),
        ({"units": {"seconds": 0, "characters": 1}}, {"units": {"characters": Decimal("1.00")}}),
        ({"response_time": 1}, {"response_time": 1.0}),
        ({"timestamp": NOON}, {"timestamp": NOON - 10**15}),
        ({"timestamp": NOON}, {}),
        ({"deadline": datetime(2030, 1, 1, tzinfo=UTC)}, {}),
        ({"actual_provider_name": ""}, {"actual_provider_name": "openai"}),
    ],
)
def test_aliases_spellings_and_times_are_no_content(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    for first, second in ((one, other), (other, one)):
        if first.get("timestamp", NOON) == NOON:  # the original was in range
            assert again(logged(**first), a_track(**body(**second))).duplicate


def test_a_cost_that_the_caller_said_differs_from_the_same_cost_of_the_catalogue() -> None:
    meter = logged(tokens_input=1_000, tokens_output=0)
    cost = meter.usage[-1].cost_nano
    assert cost == 150_000
    mismatch(meter, a_track(**body(tokens_input=1_000, tokens_output=0, cost=Decimal("0.00015"))))


@pytest.mark.parametrize(
    "fields",
    [
        {"provider": "nobody"},
        {"tokens_cache_read": 501},
        {"tokens_reasoning": 501},
    ],
)
def test_a_known_key_is_answered_before_the_later_checks(fields: dict[str, Any]) -> None:
    mismatch(logged(), a_track(**body(**fields)))


@pytest.mark.parametrize("cost", ["1", -1, "1e-10", True])
def test_a_body_that_is_no_track_is_refused_under_a_known_key_too(cost: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        again(logged(), a_track(**body(cost=cost)))
    assert caught.value.field == "cost"


def test_a_late_event_and_its_alerts_are_repeated_as_they_were() -> None:
    meter = Meter()
    meter.track("stability", event_id="k-1")
    reply = meter.track("stability", event_id="e-1", tokens_input=1)
    reply = meter.track("stability", event_id="e-1", tokens_input=1)
    assert len(reply.alerts) == 3
    repeated = again(meter, a_track("stability", event_id="e-1", tokens_input=1))
    assert isinstance(repeated, TrackReply)
    assert repeated.alerts == reply.alerts
    late = meter.track("exa", event_id="e-1", timestamp=NOON - 30 * 86_400 * 10**6)
    assert late.late
    repeated = again(meter, a_track("exa", event_id="e-1"))
    assert isinstance(repeated, TrackReply)
    assert (repeated.late, repeated.billing_period, repeated.seq) == (True, "2026-02", late.seq)


@pytest.mark.parametrize("reason", [None, "", "renewal"])
def test_a_reset_with_the_same_reason_is_a_duplicate(reason: str | None) -> None:
    meter = logged()
    first = meter.reset(event_id="e-1", reason=reason)
    assert first is not None
    repeated = again(meter, a_reset(event_id="e-1", reason=reason))
    assert encode_reply(repeated) == encode_reply(first).replace(
        b'"duplicate":false', b'"duplicate":true'
    )
    mismatch(meter, a_reset(event_id="e-1", reason="another"))


def test_a_key_spans_all_verbs() -> None:
    meter = logged()
    mismatch(meter, a_reset(event_id="e-1"))
    meter.reset(event_id="e-1")
    mismatch(meter, a_track(**body()))
