"""A user's personal fields are erased through the registry, and everything else stays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from messages.stored.events import (
    ERASED,
)
from messages.subjects import PREFIX
from tests.support.faults import Fault
from tests.support.rig import Rig

ABOUT: dict[str, Any] = {
    "user_agent": "curl",
    "ip_address": "10.1.2.3",
    "metadata": {"team": "red"},
}


async def send(rig: Rig, user: str, reply: str) -> None:
    message = SimpleNamespace(subject=f"{PREFIX}.ctl.forget.{user}", reply=reply)
    await rig.link.heard[f"{PREFIX}.ctl.forget.*"](message)


async def forget(rig: Rig, user: str = "alice", *, reply: str = "forgot") -> Any:
    await send(rig, user, reply)
    return await rig.answer(reply)


async def test_the_fields_are_gone_and_the_totals_are_as_before(rig: Rig) -> None:
    for user in ("alice", "bob"):
        await rig.ask("track", user, provider="exa", event_id="k", error_message="oh", **ABOUT)
        await rig.ask("track", user, provider="exa", event_id="bare")
    before = (await rig.ask("stats")).body

    assert (await forget(rig)).body == {"user_id": "alice", "rows": 1, "seq": before["seq"]}

    assert (await rig.ask("stats")).body == before
    mine, theirs = [(await rig.ask("logs", user)).body["logs"][1] for user in ("alice", "bob")]
    gone = [*ABOUT, "error_message"]
    assert [mine[field] for field in gone] == [None] * 4
    assert theirs["metadata"] == {"team": "red"}
    assert {**mine, **dict.fromkeys([*gone, "seq", "logged_at", "timestamp"])} == {
        **theirs,
        **dict.fromkeys([*gone, "seq", "logged_at", "timestamp"]),
    }


async def test_a_repeated_call_is_a_duplicate_whatever_it_says_of_persons_now(rig: Rig) -> None:
    first = (await rig.ask("track", provider="exa", event_id="k", **ABOUT)).body
    await forget(rig)
    for about in (ABOUT, {}, {**ABOUT, "ip_address": "10.9.9.9"}):
        again = (await rig.ask("track", provider="exa", event_id="k", **about)).body
        assert (again["duplicate"], again["cost"]) == (True, first["cost"])
    other = await rig.ask("track", provider="exa", event_id="k", tokens_input=7, **ABOUT)
    assert other.code == "idempotency_mismatch"


async def test_a_call_that_is_on_its_way_is_erased_with_the_others(rig: Rig) -> None:
    rig.journal.appends.close()
    asked = rig.track(**ABOUT)
    await rig.journal.appends.waiting.wait()
    await send(rig, "alice", "forgot")
    rig.journal.appends.open()
    assert (await rig.answer("forgot")).body["rows"] == 1
    assert (await rig.answer(asked)).code == ""
    assert {row.personal for row in await rig.inner.rows(0, 100)} == {None, ERASED}


async def test_a_user_of_whom_nothing_is_logged_is_forgotten_too(rig: Rig) -> None:
    assert (await forget(rig, "nobody")).body == {"user_id": "nobody", "rows": 0, "seq": 0}


async def test_if_the_log_cannot_be_written_forget_fails_and_can_be_asked_again(rig: Rig) -> None:
    await rig.ask("track", provider="exa", **ABOUT)
    rig.journal.fail_appends(Fault.NOT_STORED)
    assert (await forget(rig)).code == "unavailable"
    assert (await forget(rig, reply="again")).body["rows"] == 1
