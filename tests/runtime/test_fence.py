"""Whoever stood still asks again before it takes or answers anything."""

from __future__ import annotations

import asyncio

import pytest

from actors.edge.fence import HELD_MAX, Fence
from messages.errors import RequestError
from tests.runtime.test_discovery import Bus, claim
from tests.support.rig import until

GAP_NS = 300_000_000


class Process:
    """A fence on a clock that is set by hand, and what came through it."""

    def __init__(self) -> None:
        self.at = 0
        self.taken: list[bytes] = []
        self.refused: list[tuple[bytes, str]] = []
        self.fence = Fence(lambda: self.at, 0.3, self.refuse)

    def refuse(self, _: bytes, reply_to: bytes, why: RequestError) -> None:
        self.refused.append((reply_to, why.code))

    def deliver(self, _subject: bytes, reply_to: bytes, _payload: bytes, _headers: bytes) -> None:
        self.taken.append(reply_to)

    def read(self, *replies: bytes) -> None:
        """One read of the socket."""
        take = self.fence.guard(self.deliver)
        for reply in replies:
            take(b"s", reply, b"{}", b"")


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


def test_what_waits_is_bounded_and_refused_if_another_has_the_prefix() -> None:
    process = Process()
    process.fence.close()
    process.read(*[b"x"] * (HELD_MAX + 2))
    assert process.refused == [(b"x", "unavailable")] * 2
    process.fence.lose()
    process.at += 10 * GAP_NS
    assert len(process.refused) == HELD_MAX + 2
    assert (process.taken, process.fence.stands()) == ([], True)


async def test_a_fence_that_watches_no_more_lets_the_last_answers_leave() -> None:
    process = Process()
    process.fence.arm()
    process.fence.disarm()
    process.at += 10 * GAP_NS
    assert not process.fence.stands()


async def test_a_holder_that_stood_still_alone_is_open_again() -> None:
    process, holder = Process(), claim(Bus(), "a")
    assert await holder.take() is None
    keeping = asyncio.create_task(holder.keep(process.fence))
    await asyncio.sleep(0)
    process.fence.close()
    await until(lambda: not process.fence.closed)
    assert not keeping.done()
    keeping.cancel()


async def test_a_standstill_while_it_asks_has_it_ask_once_more() -> None:
    process, holder = Process(), claim(Bus(), "a")
    assert await holder.take() is None
    keeping = asyncio.create_task(holder.keep(process.fence))
    await asyncio.sleep(0)
    process.fence.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    process.at += 2 * GAP_NS
    await until(lambda: not process.fence.closed)
    assert process.fence.count == 2
    keeping.cancel()


@pytest.mark.parametrize(("old", "new"), [("a", "b"), ("b", "a")])
async def test_who_took_the_prefix_meanwhile_has_it_whatever_the_ids(old: str, new: str) -> None:
    bus, elsewhere, process = Bus(), Bus(), Process()
    first, second = claim(elsewhere, old), claim(bus, new, reclaim_s=0)
    assert [await first.take(), await second.take()] == [None, None]
    bus.heard += elsewhere.heard
    elsewhere.heard = bus.heard
    process.fence.close()
    keeping = asyncio.create_task(first.keep(process.fence))
    await until(keeping.done)
    other = asyncio.create_task(second.keep())
    await asyncio.sleep(0)
    assert process.fence.closed
    assert not other.done()
    other.cancel()


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
    await until(lambda: keeping[1].done() and not processes[0].fence.closed)
    assert not keeping[0].done()
    keeping[0].cancel()
