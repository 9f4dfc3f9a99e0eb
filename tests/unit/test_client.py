from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import nats.errors
import pytest

from messages.client.fields import TrackFields
from messages.errors import MeterdError, NoAnswer, NoService, RequestError
from tests.support.answers import FakeReply
from tests.support.callers import RESET, TRACKED, FakeConnection, client_of


async def test_a_reply_is_typed_and_its_money_is_an_exact_decimal() -> None:
    nc = FakeConnection([TRACKED])
    reply = await client_of(nc).track("alice", provider="openai", tokens_input=374)
    assert reply.cost == Decimal("0.000000001")
    assert reply.seq == 7


async def test_a_request_goes_to_the_encoded_user_and_leaves_out_what_is_none() -> None:
    nc = FakeConnection([TRACKED])
    await client_of(nc, prefix="my.usage").track(
        "alice@example.com", provider="openai", cost=Decimal("0.1"), model_used=None
    )
    (subject, body, _) = nc.sent[0]
    assert subject == "my.usage.track.alice=40example=2Ecom"
    assert body == {
        "provider": "openai",
        "cost": 0.1,
        "event_id": "key-0",
        "deadline": "2026-03-01T12:00:02Z",
    }


async def test_a_read_carries_a_deadline_and_no_key() -> None:
    nc = FakeConnection([b"{}"])
    await client_of(nc, budget_s=0.5).request("stats", "alice", {})
    assert nc.sent[0][1] == {"deadline": "2026-03-01T12:00:00.500000Z"}


async def test_each_change_gets_a_key_of_its_own_unless_one_is_given() -> None:
    nc = FakeConnection([RESET])
    client = client_of(nc)
    await client.reset("alice")
    await client.reset("alice")
    await client.reset("alice", event_id="mine")
    assert [body["event_id"] for _, body, _ in nc.sent] == ["key-0", "key-1", "mine"]


async def test_the_key_stays_the_same_over_all_tries() -> None:
    nc = FakeConnection(
        [
            nats.errors.TimeoutError(),
            nats.errors.NoRespondersError(),
            RequestError("unavailable", "starting"),
            RequestError("outcome_unknown", "the write failed"),
            TRACKED,
        ]
    )
    reply = await client_of(nc).track("alice", provider="openai")
    assert reply.usage_logged
    assert len(nc.sent) == 5
    assert nc.keys == {"key-0"}
    assert len({body["deadline"] for _, body, _ in nc.sent}) == 1


async def test_the_pauses_grow_and_the_budget_ends_them() -> None:
    nc = FakeConnection([nats.errors.NoRespondersError()])
    with pytest.raises(NoService, match=r"usage\.v1"):
        await client_of(nc).track("alice", provider="openai")
    assert nc.pauses == [0.02, 0.05, 0.1, 0.2, 0.5, 0.5, 0.5]
    assert nc.time - 100 < 2.0


async def test_a_list_of_unpriced_models_is_typed_and_one_try_has_the_whole_budget() -> None:
    row: dict[str, Any] = {
        "provider": "openai",
        "model": "m",
        "variant": "",
        "how": "estimate",
        "calls": 2,
        "tokens": 3,
        "cost": 0.000003,
        "users": 1,
        "users_capped": False,
        "first_seen": "2026-03-01T12:00:00Z",
        "last_seen": "2026-03-01T12:00:00Z",
    }
    reply = {"rows": [row], "next_cursor": None, "complete_since": None, "unread": 0, "seq": 7}
    nc = FakeConnection([json.dumps(reply).encode()])
    found = await client_of(nc, budget_s=9.0, attempt_s=1.0).unpriced(limit=5)
    assert (found.rows[0].cost, found.seq) == (Decimal("0.000003"), 7)
    ((subject, body, timeout_s),) = nc.sent
    assert (subject, body["limit"]) == ("usage.v1.catalog.prices.unpriced", 5)
    assert timeout_s == 9.0


async def test_no_try_lasts_longer_than_what_is_left_of_the_budget() -> None:
    nc = FakeConnection([nats.errors.TimeoutError()])
    with pytest.raises(NoAnswer):
        await client_of(nc, budget_s=1.5, attempt_s=1.0).request("stats", "alice", {})
    timeouts = [timeout for _, _, timeout in nc.sent]
    assert timeouts == [1.0, pytest.approx(0.48)]
    assert nc.time - 100 < 1.51


async def test_a_change_that_may_have_happened_ends_as_no_answer_with_its_key() -> None:
    nc = FakeConnection([nats.errors.TimeoutError(), nats.errors.NoRespondersError()])
    with pytest.raises(NoAnswer) as caught:
        await client_of(nc).track("alice", provider="openai")
    assert caught.value.event_id == "key-0"


async def test_an_unknown_outcome_stays_unknown_if_the_later_tries_are_refused() -> None:
    unknown = RequestError("outcome_unknown", "the write failed", event_id="key-0")
    nc = FakeConnection([unknown, RequestError("unavailable", "recovering")])
    with pytest.raises(RequestError) as caught:
        await client_of(nc).track("alice", provider="openai")
    assert (caught.value.code, caught.value.event_id) == ("outcome_unknown", "key-0")


async def test_a_read_without_a_reply_ends_with_what_happened_last() -> None:
    nc = FakeConnection([nats.errors.TimeoutError(), nats.errors.NoRespondersError()])
    with pytest.raises(NoService):
        await client_of(nc).request("stats", "alice", {})


async def test_retry_after_is_honoured_within_the_budget() -> None:
    nc = FakeConnection([RequestError("overloaded", "full", retry_after=0.75), TRACKED])
    await client_of(nc).track("alice", provider="openai")
    assert nc.pauses == [0.75]


async def test_a_retry_after_beyond_the_budget_is_not_waited_for() -> None:
    nc = FakeConnection([RequestError("overloaded", "full", retry_after=3.0)])
    with pytest.raises(RequestError) as caught:
        await client_of(nc).track("alice", provider="openai")
    assert (caught.value.code, caught.value.retry_after) == ("overloaded", 3.0)
    assert nc.pauses == []


async def test_an_error_that_is_not_retryable_is_raised_at_once_with_its_field() -> None:
    nc = FakeConnection([RequestError("unknown_provider", "no such provider", field="provider")])
    with pytest.raises(RequestError) as caught:
        await client_of(nc).track("alice", provider="acme")
    assert (caught.value.code, caught.value.field) == ("unknown_provider", "provider")
    assert len(nc.sent) == 1


async def test_an_error_that_says_so_is_not_repeated_whatever_its_code() -> None:
    damaged = RequestError("unavailable", "row 17 is damaged", retryable=False)
    nc = FakeConnection([damaged, TRACKED])
    with pytest.raises(RequestError, match="row 17") as caught:
        await client_of(nc).track("alice", provider="openai")
    assert (caught.value.code, caught.value.retryable) == ("unavailable", False)
    assert (len(nc.sent), nc.pauses) == (1, [])


async def test_a_passed_deadline_is_the_end_of_the_budget() -> None:
    nc = FakeConnection([RequestError("deadline_exceeded", "too late")])
    with pytest.raises(RequestError, match="deadline_exceeded"):
        await client_of(nc).track("alice", provider="openai")
    assert len(nc.sent) == 1


async def test_a_lost_connection_is_waited_out_and_nothing_is_buffered_meanwhile() -> None:
    nc = FakeConnection([TRACKED], is_connected=False)

    def connect_after_three_pauses() -> None:
        nc.is_connected = len(nc.pauses) == 3

    nc.on_pause = connect_after_three_pauses
    await client_of(nc).track("alice", provider="openai")
    assert len(nc.sent) == 1
    assert len(nc.pauses) == 3


async def test_a_connection_that_was_closed_for_good_is_no_service_at_once() -> None:
    nc = FakeConnection([nats.errors.ConnectionClosedError()], is_closed=True, is_connected=False)
    with pytest.raises(NoService):
        await client_of(nc).track("alice", provider="openai")
    assert nc.pauses == []


@pytest.mark.parametrize("cost", [0.1, "0.1", True])
async def test_money_that_is_not_exact_is_a_type_error_that_says_why(cost: Any) -> None:
    nc = FakeConnection([TRACKED])
    with pytest.raises(TypeError, match=r"cost must be an int or a Decimal.*exact"):
        await client_of(nc).track("alice", provider="openai", cost=cost)
    with pytest.raises(TypeError, match=r"cost_requested must be"):
        await client_of(nc).enforce("alice", provider="openai", cost_requested=cost)
    assert nc.sent == []


async def test_money_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        await client_of(FakeConnection([TRACKED])).track(
            "alice", provider="openai", cost=Decimal("NaN")
        )


@pytest.mark.parametrize("user", ["", "x" * 129, "tab\there", "\ud800"])
async def test_an_invalid_user_id_is_never_published(user: str) -> None:
    nc = FakeConnection([TRACKED])
    with pytest.raises(RequestError) as caught:
        await client_of(nc).track(user, provider="openai")
    assert caught.value.code == "invalid_user"
    assert nc.sent == []


@pytest.mark.parametrize("max_payload", [1024 * 1024, 1000])
async def test_a_body_over_its_size_is_never_published(max_payload: int) -> None:
    nc = FakeConnection([TRACKED], max_payload=max_payload)
    text = "x" * min(max_payload, 70_000)
    with pytest.raises(RequestError) as caught:
        await client_of(nc).track("alice", provider="openai", error_message=text)
    assert caught.value.code == "too_large"
    assert nc.sent == []


async def test_a_reply_that_is_not_of_meterd_is_an_error_of_the_tree() -> None:
    with pytest.raises(MeterdError, match="not one of meterd"):
        await client_of(FakeConnection([b'{"cost": "free"}'])).track("alice", provider="openai")


async def test_an_error_reply_without_a_body_keeps_the_text_of_its_header() -> None:
    nc = FakeConnection([TRACKED])

    async def refuse(*_: Any, **__: Any) -> FakeReply:
        headers = {"Nats-Service-Error": "gone", "Nats-Service-Error-Code": "500"}
        return FakeReply(b"", headers)

    nc.request = refuse  # type: ignore[method-assign]
    with pytest.raises(RequestError, match="gone"):
        await client_of(nc).track("alice", provider="openai")


@pytest.mark.parametrize("user", [123, None, b"alice", 1.5, ["alice"], True])
async def test_a_user_id_that_is_not_text_is_a_type_error_that_says_what_it_was(user: Any) -> None:
    nc = FakeConnection([TRACKED])
    for ask in (client_of(nc).track(user, provider="openai"), client_of(nc).stats(user)):
        with pytest.raises(
            TypeError, match=f"a user id must be a str, not a {type(user).__name__}"
        ):
            await ask
    with pytest.raises(TypeError, match="a user id must be a str"):
        await client_of(nc).request_upkeep("rebuild", user)
    assert nc.sent == []


async def test_side_fields_are_sent_as_they_are_for_the_service_to_clip() -> None:
    nc = FakeConnection([TRACKED])
    metadata = {"cost": 0.1, "n": 1, "limits": {"a": 0.5}, "none": None, "list": [{"cost": 1.5}]}
    call: TrackFields = {"provider": "openai", "user_agent": "u" * 300, "metadata": metadata}
    call["cost"] = Decimal("1e-12")
    await client_of(nc).track("alice", **call)
    await client_of(nc).request("batch", "alice", {"events": [call]})
    assert nc.sent[0][1]["metadata"] == nc.sent[1][1]["events"][0]["metadata"] == metadata
    assert nc.sent[0][1]["user_agent"] == "u" * 300


async def test_none_in_overrides_is_sent_and_lifts_a_limit() -> None:
    nc = FakeConnection([b"{}"])
    overrides: dict[str, int | Decimal | None] = {"openai_calls": None, "exa_calls": 0}
    body = {"plan": "Pro", "billing_cycle": "monthly", "overrides": overrides}
    await client_of(nc).request("subscribe", "alice", body)
    assert nc.sent[0][1]["overrides"] == overrides
