"""The contract of `EventLog`, held against every implementation."""

from __future__ import annotations

import asyncio
import random

import pytest

from messages.stored.form import FORM
from persistence.errors import NotStored, OutcomeUnknown
from persistence.journal import EventLog, Journal
from persistence.memory import MemoryJournal
from persistence.records import Row
from tests.support.faults import Fault, FaultyJournal
from tests.support.rows import make_row, make_rows, make_snapshot, of_user

ALL = 1_000_000


async def test_an_empty_log_ends_at_0_and_has_no_rows(journal: EventLog) -> None:
    assert await journal.last_seq() == 0
    assert await journal.rows(0, ALL) == []


async def test_a_row_comes_back_as_it_was_written(journal: EventLog) -> None:
    rows = [
        make_row(1, "alice@example.com", key="k", notify=True, personal='{"ip":"::1"}'),
        make_row(2, "ünï✓\U0001f600", key="\x00 'key'\n", kind="reset", body='{"ü":"\\u0000"}'),
        make_row(3)._replace(at=253_402_300_799_999_999),
    ]

    await journal.append(rows)

    found = await journal.rows(0, ALL)
    assert found == rows
    assert [type(field) for row in found for field in row] == [
        type(field) for row in rows for field in row
    ]


async def test_snapshots_can_be_written_without_rows(journal: Journal) -> None:
    await journal.append([make_row(1)])

    await journal.append([], [make_snapshot("alice", 1)])

    assert await journal.snapshot("alice") == make_snapshot("alice", 1)
    assert await journal.last_seq() == 1


async def test_an_append_of_nothing_changes_nothing(journal: EventLog) -> None:
    await journal.append([])

    assert await journal.last_seq() == 0


@pytest.mark.parametrize("size", [1, 2, 3, 64, 255, 256, 257, 1024, 1025, 2500, 4096])
async def test_a_block_of_any_size_is_stored_whole(
    journal: EventLog, random_: random.Random, size: int
) -> None:
    rows = make_rows(random_, 1, size)

    await journal.append(rows)

    assert await journal.rows(0, ALL) == rows
    assert await journal.last_seq() == size


async def test_rows_come_in_order_from_any_position(
    journal: EventLog, random_: random.Random
) -> None:
    model: list[Row] = []
    for _ in range(20):
        rows = make_rows(random_, len(model) + 1, random_.randrange(1, 40))
        await journal.append(rows)
        model += rows
        at, limit = random_.randrange(len(model) + 2), random_.randrange(1, 30)
        assert await journal.last_seq() == len(model)
        assert await journal.rows(at, limit) == model[at : at + limit]


async def test_a_position_is_never_given_to_two_rows(journal: EventLog) -> None:
    await journal.append([make_row(1)])

    with pytest.raises(NotStored):
        await journal.append([make_row(1, "bob")])

    assert await journal.rows(0, ALL) == [make_row(1)]


async def test_after_a_failed_append_its_positions_can_be_given_again(journal: Journal) -> None:
    await journal.append([make_row(1, key="k")])
    with pytest.raises(NotStored):
        await journal.append([make_row(2, "bob"), make_row(2, key="k")])

    await journal.append([make_row(2, "carol"), make_row(3, key="other")])

    assert [row.user for row in await journal.rows(0, ALL)] == ["alice", "carol", "alice"]
    assert await journal.find("alice", "other") == make_row(3, key="other")


async def test_a_read_during_an_append_sees_its_block_whole_or_not_at_all(
    journal: Journal, random_: random.Random, request: pytest.FixtureRequest
) -> None:
    # Each read takes all rows: as many as here are tried where most happens beside an append.
    count = 5_000 if "in lumps" in request.node.name else 1_000
    rows = make_rows(random_, 1, count)

    async def read() -> None:
        found = await journal.rows(0, ALL)
        assert found == rows[: len(found)]
        assert len(found) % 100 == 0
        user = rows[0].user
        history = await journal.history(user, 0, ALL)
        assert history in [of_user(rows[:end], user) for end in range(0, count + 1, 100)]

    for start in range(0, len(rows), 100):
        await asyncio.gather(journal.append(rows[start : start + 100]), read(), read())
        assert await journal.last_seq() == start + 100


@pytest.mark.parametrize("fault", [Fault.UNKNOWN_BUT_STORED, Fault.UNKNOWN_AND_LOST])
async def test_after_an_unknown_outcome_the_end_of_the_log_says_which(fault: Fault) -> None:
    log = FaultyJournal(MemoryJournal(FORM))
    log.fail_appends(fault)
    rows = [make_row(1), make_row(2)]
    with pytest.raises(OutcomeUnknown):
        await log.append(rows)

    last = await log.last_seq()
    assert last == (2 if fault is Fault.UNKNOWN_BUT_STORED else 0)
    assert await log.rows(0, ALL) == rows[:last]
