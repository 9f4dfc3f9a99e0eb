"""A caller whose clock is not that of the service."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from messages.errors import RequestError
from tests.support.answers import NOW
from tests.support.callers import TRACKED, FakeConnection, client_of


@pytest.mark.parametrize("ahead_s", [3.0, 86_400.0])
async def test_a_clock_behind_the_services_costs_the_first_call_one_try(ahead_s: float) -> None:
    nc = FakeConnection([TRACKED], ahead_s=ahead_s)
    client = client_of(nc)
    for _ in range(2):
        await client.track("alice", provider="openai")
    assert [body["event_id"] for _, body, _ in nc.sent] == ["key-0", "key-0", "key-1"]
    assert nc.pauses == []
    last = datetime.fromisoformat(nc.sent[-1][1]["deadline"])
    assert last == NOW + timedelta(seconds=ahead_s + 2)


async def test_a_clock_ahead_of_the_services_is_no_harm() -> None:
    nc = FakeConnection([TRACKED], ahead_s=-3.0)
    await client_of(nc).track("alice", provider="openai")
    assert len(nc.sent) == 1


async def test_a_clock_that_goes_on_stepping_is_named_in_the_error() -> None:
    def answer(ahead_s: float) -> RequestError:
        service = NOW + timedelta(seconds=ahead_s)
        return RequestError("deadline_exceeded", "not executed", now=service)

    nc = FakeConnection([answer(3.0), answer(-86_400.0)])
    with pytest.raises(RequestError) as caught:
        await client_of(nc).track("alice", provider="openai")
    assert len(nc.sent) == 2
    assert caught.value.code == "deadline_exceeded"
    assert "86400.0 s behind the caller's" in str(caught.value)


async def test_a_deadline_that_the_caller_gave_stays_and_the_clocks_are_named() -> None:
    nc = FakeConnection([TRACKED], ahead_s=3.0)
    deadline = NOW + timedelta(seconds=1)
    with pytest.raises(RequestError, match=r"clock is 3\.0 s ahead of the caller's"):
        await client_of(nc).request("stats", "alice", {"deadline": deadline})
    assert [body["deadline"] for _, body, _ in nc.sent] == ["2026-03-01T12:00:01Z"]


async def test_a_deadline_that_is_past_by_both_clocks_is_no_news_of_them() -> None:
    nc = FakeConnection([TRACKED], ahead_s=0.01)
    past = {"deadline": NOW - timedelta(seconds=1)}
    with pytest.raises(RequestError) as caught:
        await client_of(nc).request("stats", "alice", past)
    assert "clock" not in str(caught.value)
    assert len(nc.sent) == 1


async def test_an_older_service_that_says_no_time_is_not_asked_twice() -> None:
    nc = FakeConnection([RequestError("deadline_exceeded", "not executed")])
    with pytest.raises(RequestError, match="deadline_exceeded"):
        await client_of(nc).track("alice", provider="openai")
    assert len(nc.sent) == 1


async def test_a_budget_that_has_run_out_is_no_news_of_the_clocks() -> None:
    late = RequestError("deadline_exceeded", "not executed", now=NOW + timedelta(seconds=2.1))
    nc = FakeConnection([RequestError("overloaded", "no", retry_after=1.9), late])
    nc.on_pause = lambda: setattr(nc, "time", 102.1)
    with pytest.raises(RequestError) as caught:
        await client_of(nc).track("alice", provider="openai")
    assert "clock" not in str(caught.value)
    assert len(nc.sent) == 2
