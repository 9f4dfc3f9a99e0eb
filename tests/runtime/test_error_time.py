"""Every error says what time the service has it: how a caller learns that the clocks differ."""

from __future__ import annotations

import pytest

from messages.subjects import PREFIX
from tests.support.faults import Fault
from tests.support.meter import NOON, micros
from tests.support.rig import Answer, Rig

LATER = NOON + 1_234_567


def time_of(answer: Answer) -> int:
    return micros(answer.error["now"])


async def test_an_error_of_the_edge_of_a_rule_and_of_a_deadline_says_the_time(rig: Rig) -> None:
    rig.clock.at = LATER
    asked = [
        rig.deliver(f"{PREFIX}.stats.alice", b"{"),
        rig.deliver(f"{PREFIX}.no_verb.alice"),
        rig.deliver(f"{PREFIX}.stats.=61"),
        rig.send("track", provider="nobody"),
        rig.send("stats", deadline="2026-03-15T12:00:00Z"),
    ]
    answers = await rig.answers(*asked)
    codes = ["invalid_request", "unknown_verb", "invalid_user", "unknown_provider"]
    assert [answer.code for answer in answers] == [*codes, "deadline_exceeded"]
    assert {time_of(answer) for answer in answers} == {LATER}


@pytest.mark.parametrize("fault", [Fault.NOT_STORED, Fault.UNKNOWN_AND_LOST])
async def test_an_error_of_a_failed_write_says_the_time(rig: Rig, fault: Fault) -> None:
    rig.journal.fail_appends(fault)
    answer = await rig.answer(rig.track())
    assert answer.code in {"unavailable", "outcome_unknown"}
    assert time_of(answer) == NOON


async def test_the_errors_of_a_batch_say_the_time(rig: Rig) -> None:
    rig.clock.at = LATER
    events = [{"provider": "tavily"}, {"provider": "nobody"}, {"no_field": 1}]
    answer = await rig.ask("batch", events=events)
    refused = [result["error"] for result in answer.body["results"] if "error" in result]
    assert [micros(error["now"]) for error in refused] == [LATER, LATER]


async def test_a_users_time_ahead_of_the_clock_is_not_what_an_error_says(rig: Rig) -> None:
    await rig.ask("track", provider="tavily")
    rig.clock.at = NOON - 3_600_000_000
    assert time_of(await rig.ask("track", provider="nobody")) == rig.clock.at
