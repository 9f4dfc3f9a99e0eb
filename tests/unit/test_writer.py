"""Group commit: order, blocks, snapshots."""

from __future__ import annotations

import asyncio
import random

import pytest

from persistence.errors import NotStored
from tests.support.faults import Fault
from tests.support.rows import make_row, make_snapshot
from tests.support.writing import Bench, Told, held_write

ALL = 1_000_000


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_positions_continue_after_the_end_of_the_journal(bench: Bench) -> None:
    await bench.inner.append([make_row(1), make_row(2)])
    async with bench.running() as writer:
        assert (writer.durable, writer.next_seq, writer.accepting) == (2, 3, True)
        bench.add()

    assert bench.blocks == [[3]]
    assert await bench.inner.last_seq() == 3


async def test_before_the_end_of_the_journal_is_known_nothing_is_accepted(bench: Bench) -> None:
    assert not bench.writer.accepting


async def test_a_waiter_is_released_when_its_block_is_durable_and_not_before(
    bench: Bench,
) -> None:
    async with bench.running() as writer:
        told = await held_write(bench)
        assert not told.event.is_set()
        assert writer.durable == 0

        bench.journal.appends.open()
        await told.event.wait()
        assert told.what == "durable"
        assert writer.durable == 1
        assert await bench.inner.last_seq() == 1


async def test_rows_that_arrive_during_a_write_go_into_one_block(bench: Bench) -> None:
    async with bench.running():
        await held_write(bench)
        for user in ("bob", "carol", "dave"):
            bench.add(2, user)

    assert bench.blocks == [[1], [2, 3, 4, 5, 6, 7]]


async def test_waiters_are_released_in_order_after_their_block_is_announced(bench: Bench) -> None:
    async with bench.running():
        await held_write(bench)
        bench.add(2, "bob")
        bench.add(1, "carol")
        bench.read(3)

    assert bench.said == [
        "block to 1",
        "alice 1 durable",
        "block to 4",
        "bob 3 durable",
        "carol 4 durable",
        "read 3 durable",
    ]


async def test_work_behind_a_release_comes_after_all_waiters_of_a_block(
    bench: Bench,
) -> None:
    async with bench.running():
        await held_write(bench)
        bench.add(2, "bob")
        bench.add(1, "carol")
    assert bench.said[1::3] == ["alice 1 durable", "carol 4 durable"]
    assert bench.released == [2, 5]


async def test_a_reader_of_a_durable_position_is_released_at_once(bench: Bench) -> None:
    await bench.inner.append([make_row(1)])
    async with bench.running():
        assert bench.read(0).what == "durable"
        assert bench.read(1).what == "durable"


async def test_a_reader_waits_for_the_block_of_its_position_only(bench: Bench) -> None:
    async with bench.running():
        await held_write(bench)
        later = bench.add()
        early, late = bench.read(1), bench.read(2)

        bench.journal.appends.let_one_pass()
        await early.event.wait()
        assert (later.what, late.what) == (None, None)

    assert late.what == "durable"


async def test_a_block_is_closed_when_it_is_full() -> None:
    bench = Bench(block_rows_max=3)
    async with bench.running():
        await held_write(bench)
        for _ in range(7):
            bench.add()

    assert bench.blocks == [[1], [2, 3, 4], [5, 6, 7], [8]]


async def test_the_rows_of_one_change_stay_in_one_block() -> None:
    bench = Bench(block_rows_max=3)
    async with bench.running():
        await held_write(bench)
        bench.add(2)
        bench.add(5)
        bench.add(1)

    assert bench.blocks == [[1], [2, 3, 4, 5, 6, 7, 8], [9]]


async def test_a_waiter_may_append_when_it_is_released(bench: Bench) -> None:
    class Again(Told):
        def durable(self) -> None:
            super().durable()
            self.next = bench.add(1, "bob")

    async with bench.running() as writer:
        again = Again(bench, "again")
        writer.append([make_row(1)], again)
        await again.event.wait()
        await again.next.event.wait()

    assert bench.blocks == [[1], [2]]
    assert again.next.what == "durable"


async def test_stop_writes_everything(bench: Bench) -> None:
    async with bench.running() as writer:
        told = [await held_write(bench), bench.add(), bench.add(10)]
        writer.offer(make_snapshot("alice", 12))
    assert [waiter.what for waiter in told] == ["durable"] * 3
    assert await bench.inner.last_seq() == 12
    assert await bench.inner.snapshot("alice") == make_snapshot("alice", 12)


async def test_a_flush_ends_when_all_that_was_appended_before_it_is_durable(bench: Bench) -> None:
    async with bench.running() as writer:
        await writer.flushed()
        await held_write(bench)
        bench.add()
        flushed = writer.flushed()
        await asyncio.sleep(0)
        bench.journal.appends.let_one_pass()
        await bench.journal.appends.waiting.wait()  # the second block
        bench.add()
        assert writer.durable == 1
        bench.journal.appends.let_one_pass()

        await flushed
        assert writer.durable == 2


async def test_a_flush_may_be_awaited_late_by_several_tasks_or_never(bench: Bench) -> None:
    bench.journal.fail_appends(Fault.NOT_STORED)
    async with bench.running() as writer:
        bench.add()
        lost = writer.flushed()
        writer.flushed()
        await bench.resumed.wait()
        found = await asyncio.gather(lost, lost, return_exceptions=True)
        assert [type(one) for one in found] == [NotStored, NotStored]
        await writer.flushed()


async def test_a_flush_raises_while_the_end_of_the_log_is_not_known(bench: Bench) -> None:
    async with bench.running() as writer:
        writer.accepting = False
        with pytest.raises(NotStored):
            await writer.flushed()
        writer.accepting = True


async def test_a_snapshot_is_never_written_before_the_events_that_it_reflects() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    random_ = random.Random(seed)
    bench = Bench(block_rows_max=4)
    gate = bench.journal.appends

    async def store_slowly() -> None:
        while True:
            await gate.waiting.wait()
            for _ in range(random_.randrange(6)):
                await asyncio.sleep(0)
            gate.let_one_pass()

    gate.close()
    storing = asyncio.create_task(store_slowly())
    async with bench.running() as writer:
        for _ in range(300):
            for _ in range(random_.randrange(4)):
                bench.add(random_.randrange(1, 4), random_.choice("abc"))
            if writer.next_seq > 1 and random_.random() < 0.5:
                writer.offer(make_snapshot("alice", random_.randrange(1, writer.next_seq)))
            await asyncio.sleep(0)
        await writer.flushed()
        storing.cancel()

    end = 0
    for rows, snapshots in bench.journal.attempts:
        end += len(rows)
        assert all(snapshot.seq <= end for snapshot in snapshots)
    assert sum(len(snapshots) for _, snapshots in bench.journal.attempts) > 0


async def test_a_snapshot_goes_along_with_the_block_of_its_newest_event(bench: Bench) -> None:
    async with bench.running() as writer:
        await held_write(bench)
        bench.add()
        writer.offer(make_snapshot("alice", 2))

    assert [len(snapshots) for _, snapshots in bench.journal.attempts] == [0, 1]


async def test_a_snapshot_of_events_in_flight_goes_into_the_next_block(bench: Bench) -> None:
    async with bench.running() as writer:
        await held_write(bench)
        writer.offer(make_snapshot("alice", 1))
        bench.add()

    assert bench.blocks == [[1], [2]]
    assert [len(snapshots) for _, snapshots in bench.journal.attempts] == [0, 1]


async def test_a_snapshot_alone_is_written_and_moves_no_position(bench: Bench) -> None:
    await bench.inner.append([make_row(1)])
    async with bench.running() as writer:
        writer.offer(make_snapshot("alice", 1))
        await writer.flushed()
        assert (writer.durable, writer.next_seq) == (1, 2)
        bench.add()

    assert await bench.inner.snapshot("alice") == make_snapshot("alice", 1)
    assert await bench.inner.last_seq() == 2
