"""Whoever stood still asks again before it takes or answers anything."""

from __future__ import annotations

import asyncio

import pytest

from actors.edge.fence import HELD_BYTES_MAX, HELD_MAX, Fence
from actors.waits import Waits
from messages.errors import RequestError
from messages.subjects import PREFIX, request_subject
from tests.runtime.test_discovery import Bus, claim
from tests.sim.world.loop import virtual
from tests.support.rig import FakeConnection, Rig, until

GAP_NS = 300_000_000


class Process:
    """A fence on a clock that is set by hand, and what came through it."""

    def __init__(self) -> None:
        self.at = self.takes = 0
        self.taken: list[bytes] = []
        self.refused: list[tuple[bytes, str]] = []
        self.fence = Fence(lambda: self.at, 0.3, self.refuse)

    def refuse(self, _: bytes, reply_to: bytes, why: RequestError) -> None:
        self.refused.append((reply_to, why.code))

    def deliver(self, _subject: bytes, reply_to: bytes, _payload: bytes, _headers: bytes) -> None:
        self.at += self.takes
        self.taken.append(reply_to)

    def read(self, *replies: bytes) -> None:
        """One read of the socket."""
        take = self.fence.guard(self.deliver)
        for reply in replies:
            take(b"s", reply, b"{}", b"")


class FencedConnection(FakeConnection):
    """A connection in memory whose fence is kept, to be closed by a test; answers wait there."""

    fence: Fence | None = None
    kept: list[tuple[bytes, bytes, dict[str, str] | None]]

    def put_behind(self, fence: object) -> None:
        assert isinstance(fence, Fence)
        self.fence, self.kept = fence, []
        fence.on_open = self.release

    def send(self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
        self.kept.append((reply_to, payload, headers))
        self.release()

    def release(self) -> None:
        if self.fence is not None and not self.fence.stands():
            kept, self.kept = self.kept, []
            for answer in kept:
                super().send(*answer)


def test_after_a_standstill_requests_wait_in_order_until_it_is_opened() -> None:
    process = Process()
    process.at = GAP_NS
    process.read(b"1")
    process.at += 1
    process.read(b"2", b"3")
    assert process.taken == [b"1"]
    assert process.fence.stands()  # so that no answer leaves
    late = process.fence.guard(process.deliver)
    process.fence.open()
    late(b"s", b"4", b"", b"")  # the rest of a read that had begun
    assert process.taken == [b"1", b"2", b"3", b"4"]
    assert not process.fence.stands()


def test_waiting_requests_are_bounded_and_refused_if_another_has_the_prefix() -> None:
    process = Process()
    process.fence.close()
    process.read(*[b"x"] * (HELD_MAX + 2))
    assert process.refused == [(b"x", "unavailable")] * 2
    process.fence.lose()
    process.at += 10 * GAP_NS
    assert len(process.refused) == HELD_MAX + 2
    assert (process.taken, process.fence.stands()) == ([], True)


def test_headers_and_subjects_that_wait_count_as_bodies_do() -> None:
    process = Process()
    process.fence.close()
    size = HELD_BYTES_MAX // 8
    take = process.fence.guard(process.deliver)
    for number in range(12):
        reply = b"%d" % number
        take(b"s" * size, reply, b"", b"") if number % 2 else take(b"s", reply, b"", b"h" * size)
    assert [reply for reply, _ in process.refused] == [b"8", b"9", b"10", b"11"]
    process.fence.open()
    assert len(process.taken) == 8
    assert process.fence._bytes == 0


async def test_waiting_requests_go_on_in_turns_and_are_no_standstill_of_their_own() -> None:
    process = Process()
    process.takes = 2_000_000
    process.fence.close()
    waited = [b"%d" % number for number in range(1_000)]
    process.read(*waited)
    process.fence.open()
    assert 0 < len(process.taken) < 10  # of two seconds of work
    process.read(b"new")
    passing = asyncio.create_task(process.fence.passed())
    await until(passing.done)
    assert process.taken == [*waited, b"new"]
    assert (process.fence.count, process.fence.closed) == (1, False)


async def test_after_the_prefix_is_lost_requests_are_refused_and_a_stop_waits_no_longer() -> None:
    process = Process()
    process.fence.close()
    passing = asyncio.create_task(process.fence.passed())
    await asyncio.sleep(0)
    assert not passing.done()
    process.fence.lose()
    process.read(b"1")
    await passing
    assert process.refused == [(b"1", "unavailable")]


async def test_a_stop_while_the_fence_is_closed_answers_what_waits_there() -> None:
    link = FencedConnection()
    rig = Rig(link=link, waits=Waits(claim=0.01))
    await rig.service.start()
    assert link.fence is not None
    link.fence.close()
    assert link.deliver is not None
    take = link.fence.guard(link.deliver)
    take(request_subject(PREFIX, "track", "alice").encode(), b"to.x", b'{"provider":"exa"}', b"")
    await rig.stop()
    assert [answer.body["seq"] for answer in link.answers["to.x"]] == [2]


async def test_a_standstill_in_the_midst_of_a_stop_keeps_no_answer_for_ever() -> None:
    link = FencedConnection()
    rig = Rig(link=link, waits=Waits(claim=0.01))
    await rig.service.start()
    rig.journal.appends.close()
    rig.track()
    await rig.journal.appends.waiting.wait()
    stopping = asyncio.create_task(rig.stop())
    await until(lambda: link.deliver is None)
    assert link.fence is not None
    link.fence.close()
    rig.journal.appends.open()
    await stopping  # it looks for one answer to each request


async def test_a_fence_that_watches_no_more_lets_the_last_answers_leave() -> None:
    process = Process()
    process.fence.arm()
    process.fence.disarm()
    process.at += 10 * GAP_NS
    assert not process.fence.stands()


@virtual
async def test_a_holder_that_stood_still_alone_is_open_again() -> None:
    process, holder = Process(), claim(Bus(), "a")
    assert await holder.take() is None
    keeping = asyncio.create_task(holder.keep(process.fence))
    await asyncio.sleep(0)
    process.fence.close()
    await process.fence.passed()
    assert not keeping.done()
    keeping.cancel()


@virtual
async def test_a_standstill_while_it_asks_has_it_ask_once_more() -> None:
    process, holder = Process(), claim(Bus(), "a")
    assert await holder.take() is None
    keeping = asyncio.create_task(holder.keep(process.fence))
    await asyncio.sleep(0)
    process.fence.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    process.at += 2 * GAP_NS
    await process.fence.passed()
    assert process.fence.count == 2
    keeping.cancel()


@pytest.mark.parametrize(("old", "new"), [("a", "b"), ("b", "a")])
@virtual
async def test_the_service_that_took_the_prefix_meanwhile_has_it_whatever_the_ids(
    old: str, new: str
) -> None:
    bus, elsewhere, process = Bus(), Bus(), Process()
    first, second = claim(elsewhere, old), claim(bus, new, reclaim_s=0)
    assert [await first.take(), await second.take()] == [None, None]
    bus.heard += elsewhere.heard
    elsewhere.heard = bus.heard
    process.fence.close()
    keeping = asyncio.create_task(first.keep(process.fence))
    await keeping
    other = asyncio.create_task(second.keep())
    await asyncio.sleep(0)
    assert process.fence.closed
    assert not other.done()
    other.cancel()


@virtual
async def test_of_two_that_both_stood_still_exactly_one_goes_on() -> None:
    bus, elsewhere, processes = Bus(), Bus(), (Process(), Process())
    claims = claim(elsewhere, "a"), claim(bus, "b")
    assert [await one.take() for one in claims] == [None, None]
    bus.heard += elsewhere.heard
    elsewhere.heard = bus.heard
    for process in processes:
        process.fence.close()
    pairs = zip(claims, processes, strict=True)
    keeping = [asyncio.create_task(one.keep(process.fence)) for one, process in pairs]
    await keeping[1]
    await processes[0].fence.passed()
    assert not keeping[0].done()
    keeping[0].cancel()
