"""Reads of the log take turns: nobody waits for all that somebody else has asked for."""

from __future__ import annotations

from typing import Any

import pytest

from actors.runtime.fair_turns import AT_ONCE_MAX, OF_USER_MAX
from persistence.records import Row
from tests.support.faults import Gate
from tests.support.meter import NOON
from tests.support.rig import Rig, until
from tests.support.turns import turns_of_the_loop

SOON = "2026-03-15T12:00:01Z"
NOTHING: dict[str, Any] = {"status_code": 599}


class Reads:
    """The reads of the log of each user, which wait at a gate of that user's own."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch, *users: str) -> None:
        self.gates = {user: Gate() for user in users}
        self.begun: list[str] = []
        self._newest = rig.journal.newest
        monkeypatch.setattr(rig.journal, "newest", self._read)

    async def _read(self, user: str, *args: Any) -> list[Row]:
        self.begun.append(user)
        await self.gates[user].enter()
        return await self._newest(user, *args)


async def called(rig: Rig, *users: str) -> None:
    for user in users:
        await rig.ask("track", user, provider="tavily")


async def test_a_read_of_one_user_waits_for_no_long_reads_of_another(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await called(rig, "alice", "bob")
    reads = Reads(rig, monkeypatch, "alice", "bob")
    reads.gates["alice"].close()
    long = [rig.send("logs", "alice", **NOTHING) for _ in range(50)]
    await until(lambda: len(reads.begun) == OF_USER_MAX)
    assert (await rig.ask("logs", "bob", **NOTHING)).code == ""
    assert reads.begun == ["alice"] * OF_USER_MAX + ["bob"]
    reads.gates["alice"].open()
    assert {answer.code for answer in await rig.answers(*long)} == {""}


async def test_users_take_turns_whoever_asked_first_and_for_how_much(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = ("alice", "bob", "carol", "dave")
    await called(rig, *users)
    reads = Reads(rig, monkeypatch, *users)
    for user in users[:2]:
        reads.gates[user].close()
    asked = [rig.send("logs", user) for user in users[:2] for _ in range(40)]
    await until(lambda: len(reads.begun) == AT_ONCE_MAX)
    asked += [rig.send("logs", user) for user in users[2:] for _ in range(2)]
    for user in users[:2]:
        reads.gates[user].open()
    assert {answer.code for answer in await rig.answers(*asked)} == {""}
    waited = reads.begun[AT_ONCE_MAX:]
    # Each is in every round, unless half of all that is under way is that user's.
    assert {"carol", "dave"} < set(waited[:4])
    assert waited[:10].count("carol") == waited[:10].count("dave") == 2
    assert len(reads.begun) == len(asked)


async def test_a_read_whose_deadline_passes_while_it_waits_for_its_turn_is_not_made(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await called(rig, "alice")
    reads = Reads(rig, monkeypatch, "alice")
    reads.gates["alice"].close()
    begun = [rig.send("logs", deadline=SOON) for _ in range(OF_USER_MAX)]
    await until(lambda: len(reads.begun) == OF_USER_MAX)
    late = [rig.send("logs", deadline=SOON) for _ in range(200)]
    patient = rig.send("logs")
    rig.clock.at = NOON + 2_000_000
    reads.gates["alice"].open()
    with turns_of_the_loop() as turns:
        codes = {answer.code for answer in await rig.answers(*late)}
    assert codes == {"deadline_exceeded"}
    assert turns.longest < turns.total / 20  # they are not refused all in one turn
    assert {answer.code for answer in await rig.answers(*begun, patient)} == {""}
    assert len(reads.begun) == OF_USER_MAX + 1


async def test_requests_that_wait_at_the_end_of_a_stop_are_answered_unexecuted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await called(rig, "alice")
    reads = Reads(rig, monkeypatch, "alice")
    reads.gates["alice"].close()
    asked = [rig.send("logs") for _ in range(20)]
    await until(lambda: len(reads.begun) == OF_USER_MAX)
    await rig.registry.close()
    assert {answer.code for answer in await rig.answers(*asked)} == {"unavailable"}
    assert rig.registry.waiting == 0
