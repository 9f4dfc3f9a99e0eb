"""At info each change that a person made has one line, once it is durable."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from messages.subjects import PREFIX
from tests.support.faults import Fault
from tests.support.rig import Logs, Rig, Start

PLAN: dict[str, Any] = {
    "name": "Team",
    "tier": "team",
    "price_monthly": 1,
    "price_yearly": 10,
    "limits": {},
    "features": [],
}
PRICE: dict[str, Any] = {"provider": "exa", "model": "m", "cost_per_request": 1}
PRO: dict[str, Any] = {"plan": "Pro", "billing_cycle": "monthly"}


def told(lines: Logs) -> list[dict[str, Any]]:
    """The lines at info."""
    found = [dict(line) for line in lines if line["log_level"] == "info"]
    for line in found:
        del line["log_level"]
    return found


async def operate(rig: Rig, about: str, listened: str = "") -> Any:
    """The answer to a request of an operator, such as ``forget.alice``."""
    subject = f"{PREFIX}.ctl.{about}"
    reply = f"to.{about}.{len(rig.link.answers)}"
    name = listened or f"{about.partition('.')[0]}.*"
    await rig.link.heard[f"{PREFIX}.ctl.{name}"](SimpleNamespace(subject=subject, reply=reply))
    return (await rig.answer(reply)).body


async def test_an_act_on_a_user_is_logged_with_its_position_and_a_duplicate_is_not(
    rig: Rig, lines: Logs
) -> None:
    await rig.ask("track", provider="exa")
    asks = [
        ("reset", {"event_id": "a"}),
        ("subscribe", {"event_id": "b", **PRO}),
        ("cancel", {"event_id": "c"}),
        ("suspend", {"event_id": "d", "reason": "bob-said-so"}),
        ("resume", {"event_id": "e"}),
        ("subscribe", {"event_id": "f", **PRO, "plan": "Enterprise"}),
    ]
    seqs = [(await rig.ask(verb, **body)).body["seq"] for verb, body in asks]
    again = [(await rig.ask(verb, **body)).body for verb, body in asks]
    assert [reply["duplicate"] for reply in again] == [True] * len(asks)
    found = told(lines)
    assert [line.pop("seq") for line in found] == seqs
    assert [line.pop("user") for line in found] == ["alice"] * len(asks)
    assert found == [
        {"event": "usage_reset", "billing_period": "2026-03"},
        {"event": "subscribed", "plan": "Pro", "billing_cycle": "monthly", "previous": None},
        {"event": "subscription_changed", "change": "cancel"},
        {"event": "subscription_changed", "change": "suspend"},
        {"event": "subscription_changed", "change": "resume"},
        {
            "event": "subscribed",
            "plan": "Enterprise",
            "billing_cycle": "monthly",
            "previous": "Pro",
        },
    ]


async def test_a_change_of_the_catalogue_is_logged_once(rig: Rig, lines: Logs) -> None:
    asks = [("plans.put", {"event_id": "a", **PLAN}), ("prices.put", {"event_id": "b", **PRICE})]
    plan, price = [(await rig.catalog(verb, **body)).body for verb, body in asks]
    again = [(await rig.catalog(verb, **body)).body for verb, body in asks]
    assert [reply["duplicate"] for reply in again] == [True, True]
    assert told(lines) == [
        {"event": "plan_put", "plan": "Team", "version": plan["version"], "seq": plan["seq"]},
        {
            "event": "price_put",
            "provider": "exa",
            "model": "m",
            "version": price["version"],
            "effective_from": "2026-03-15T12:00:00+00:00",
            "seq": price["seq"],
        },
    ]


async def test_a_change_is_told_when_it_is_durable_and_not_before(rig: Rig, lines: Logs) -> None:
    await rig.ask("track", provider="exa")
    await rig.catalog("plans.list")
    rig.journal.appends.close()
    asked = rig.send("reset")
    plan = rig.deliver(f"{PREFIX}.catalog.plans.put", json.dumps(PLAN).encode())
    await rig.journal.appends.waiting.wait()
    assert told(lines) == []
    rig.journal.appends.open()
    await rig.answers(asked, plan)
    assert [line["event"] for line in told(lines)] == ["usage_reset", "plan_put"]


async def test_a_change_that_is_not_stored_is_not_told(rig: Rig, lines: Logs) -> None:
    await rig.ask("track", provider="exa")
    await rig.catalog("plans.list")
    rig.journal.fail_appends(Fault.NOT_STORED)
    asked = rig.send("reset")
    assert (await rig.answer(asked)).code == "unavailable"
    rig.journal.fail_appends(Fault.NOT_STORED)
    assert (await rig.catalog("plans.put", **PLAN)).code == "unavailable"
    assert told(lines) == []


async def test_an_act_of_the_service_itself_is_no_administration(start: Start, lines: Logs) -> None:
    rig = await start()
    await rig.ask("subscribe", **PRO)
    await rig.ask("track", provider="exa")
    rig.clock.at += 40 * 86_400 * 1_000_000  # a period ends, and its subscription is renewed
    await rig.ask("track", provider="exa")
    assert [line["event"] for line in told(lines)] == ["subscribed"]


async def test_an_act_of_an_operator_is_logged_with_its_outcome(rig: Rig, lines: Logs) -> None:
    await rig.ask("track", provider="exa", user_agent="a-curl")
    await operate(rig, "forget.alice")
    await operate(rig, "rebuild.alice")
    await operate(rig, "snapshot.live", "snapshot.live")
    rows, seq = 2, rig.writer.durable
    assert told(lines) == [
        {"event": "forgotten", "user": "alice", "rows": 1, "seq": seq},
        {"event": "rebuilt", "user": "alice", "rows": rows, "changed": False, "seq": seq},
        {"event": "snapshots_written", "users": 0, "seq": seq},
    ]


async def test_a_failed_act_of_an_operator_is_not_logged_as_done(rig: Rig, lines: Logs) -> None:
    await rig.ask("track", provider="exa", user_agent="a-curl")
    rig.journal.fail_appends(Fault.NOT_STORED)
    asked = rig.track("bob")  # behind this write, which fails
    assert "error" in await operate(rig, "forget.alice")
    await rig.answer(asked)
    assert "error" in await operate(rig, "forget.=zz")
    assert told(lines) == []


async def test_no_line_has_a_text_that_somebody_wrote(rig: Rig, lines: Logs) -> None:
    await rig.ask("track", provider="exa", error_message="an oh", metadata={"a-team": "red"})
    await rig.ask("reset", reason="bob asked for it")
    await rig.ask("suspend", reason="bob does not pay")
    await operate(rig, "forget.alice")
    said = json.dumps(told(lines))
    assert len(told(lines)) == 3
    for text in ("bob", "an oh", "a-team"):
        assert text not in said


async def test_a_caller_past_the_mapping_is_logged_and_the_log_is_not_filled(
    rig: Rig, lines: Logs
) -> None:
    for user in ("alice", "bob", "carol"):
        answer = await rig.answer(rig.deliver(f"{PREFIX}.p.64.stats.{user}"))
        assert answer.code == "invalid_user"
    found = [dict(line) for line in lines if line["event"] == "partition_refused"]
    assert [(line["user"], line["log_level"]) for line in found] == [("alice", "warning")]
