"""What a failed write does to those who wait for it, and to positions."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from persistence.errors import NotStored
from tests.support.faults import Fault
from tests.support.rows import make_row, make_snapshot
from tests.support.writing import Bench, Told, held_write

ALL = 1_000_000


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_snapshot_behind_a_lost_block_is_not_written(bench: Bench) -> None:
    bench.journal.fail_appends(Fault.NOT_STORED)
    async with bench.running() as writer:
        await held_write(bench)
        writer.offer(make_snapshot("alice", 1))
        bench.journal.appends.open()
        await bench.resumed.wait()

    assert await bench.inner.snapshot("alice") is None


async def test_a_snapshot_offered_while_the_end_is_unknown_leaves_positions_right(
    bench: Bench,
) -> None:
    told: list[Told] = []
    bench.writer._on_failure = lambda _: bench.writer.offer(make_snapshot("alice", 0))
    bench.writer._on_resumed = lambda: told.append(bench.add())
    bench.journal.fail_appends(Fault.NOT_STORED)
    async with bench.running() as writer:
        lost = bench.add(5)
        await lost.event.wait()
        await writer.ready()
        await writer.flushed()

        assert [waiter.what for waiter in told] == ["durable"]
        assert writer.durable == await bench.inner.last_seq() == 1


@pytest.mark.parametrize(
    ("fault", "told", "stored"),
    [
        (Fault.NOT_STORED, "not stored", 0),
        (Fault.UNKNOWN_AND_LOST, "unknown", 0),
        (Fault.UNKNOWN_BUT_STORED, "unknown", 2),
    ],
)
async def test_a_failed_block_takes_all_behind_it_along(
    bench: Bench, fault: Fault, told: str, stored: int
) -> None:
    bench.journal.fail_appends(fault)
    async with bench.running() as writer:
        bench.journal.appends.close()
        first = bench.add(2, "alice")
        reader = bench.read(1)
        await bench.journal.appends.waiting.wait()
        behind = bench.add(1, "bob")
        reader_behind = bench.read(3)
        bench.journal.appends.open()
        await bench.resumed.wait()

        assert (first.what, reader.what) == (told, told)
        assert (behind.what, reader_behind.what) == ("not stored", "not stored")
        assert bench.lost_users == [{"alice", "bob"}]
        assert (writer.durable, writer.next_seq) == (stored, stored + 1)
        assert writer.accepting

        again = bench.add()
        await again.event.wait()
        assert again.what == "durable"

    assert [row.seq for row in await bench.inner.rows(0, ALL)] == list(range(1, stored + 2))


async def test_the_owner_hears_of_a_failure_before_those_who_wait(bench: Bench) -> None:
    bench.journal.fail_appends(Fault.UNKNOWN_BUT_STORED)
    async with bench.running():
        bench.add()
        await bench.resumed.wait()

    assert bench.said == ["failure", "alice 1 unknown", "resumed"]


async def test_a_block_of_unknown_outcome_that_is_stored_can_be_read_at_once(
    bench: Bench,
) -> None:
    bench.journal.fail_appends(Fault.UNKNOWN_BUT_STORED)
    async with bench.running():
        bench.add(3)
        await bench.resumed.wait()

        assert bench.read(3).what == "durable"


async def test_nothing_is_accepted_until_the_end_of_the_log_is_known_again(
    bench: Bench,
) -> None:
    bench.journal.fail_appends(Fault.UNKNOWN_AND_LOST)
    async with bench.running() as writer:
        bench.journal.fail_last_seq(3)
        bench.add()
        await bench.failed.wait()
        with pytest.raises(NotStored):
            await writer.flushed()

        await writer.ready()
        assert writer.accepting
        assert bench.said[-1] == "resumed"


async def test_one_failure_after_the_other_is_survived(bench: Bench) -> None:
    bench.journal.fail_appends(Fault.NOT_STORED, Fault.UNKNOWN_BUT_STORED, Fault.UNKNOWN_AND_LOST)
    async with bench.running() as writer:
        for _ in range(3):
            bench.resumed.clear()
            bench.add()
            await bench.resumed.wait()
        told = bench.add()
        await told.event.wait()
        assert told.what == "durable"
        assert writer.durable == 2

    assert [row.seq for row in await bench.inner.rows(0, ALL)] == [1, 2]


@pytest.mark.parametrize("fault", [Fault.DISK_FAILED_BUT_STORED, Fault.DISK_FAILED_AND_LOST])
async def test_after_a_disk_failure_nothing_is_accepted_any_more(
    bench: Bench, fault: Fault
) -> None:
    bench.journal.fail_appends(fault)
    async with bench.running() as writer:
        told = bench.add()
        await bench.disk_failed.wait()

        assert told.what == "unknown"
        assert not writer.accepting
        with pytest.raises(NotStored):
            await writer.flushed()
    assert "resumed" not in bench.said


async def test_when_the_files_are_gone_the_write_is_not_stored_and_nothing_is_accepted_any_more(
    bench: Bench,
) -> None:
    bench.journal.fail_appends(Fault.FILES_GONE)
    async with bench.running() as writer:
        told, behind = bench.add(), bench.read(1)
        await bench.disk_failed.wait()

        assert [told.what, behind.what] == ["not stored", "not stored"]
        assert not writer.accepting
    assert "resumed" not in bench.said


async def test_every_waiter_is_told_once_and_the_truth_whatever_fails() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    random_ = random.Random(seed)
    bench = Bench(block_rows_max=8)
    told: list[tuple[str, Told]] = []
    async with bench.running() as writer:
        for number in range(600):
            if random_.random() < 0.1:
                faults = [Fault.NOT_STORED, Fault.UNKNOWN_BUT_STORED, Fault.UNKNOWN_AND_LOST]
                bench.journal.fail_appends(random_.choice(faults))
            await writer.ready()
            waiter = Told(bench, f"change {number}")
            rows = [
                make_row(writer.next_seq + i, body=f'"{number}"')
                for i in range(random_.randrange(1, 4))
            ]
            writer.append(rows, waiter)
            told.append((f'"{number}"', waiter))
            if random_.random() < 0.3:
                with suppress(NotStored):
                    await writer.flushed()

    rows = await bench.inner.rows(0, ALL)
    stored = {row.body for row in rows}
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert {waiter.what for _, waiter in told} == {"durable", "not stored", "unknown"}
    for body, waiter in told:
        if waiter.what != "unknown":
            assert (body in stored) == (waiter.what == "durable")
