"""A read of the socket ends after some milliseconds, whatever is in it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from actors.edge.parser import TURN_NS, Deliver, InlineParser


def slow_messages(count: int, size: int) -> bytes:
    head = b"MSG usage.v1.preflight.a 7 r %d\r\n" % size
    return (head + b"x" * size + b"\r\n") * count


async def test_a_read_full_of_slow_requests_gives_others_their_turn() -> None:
    """Each takes a millisecond of a clock of our own; the limit is four."""
    parser, calls, at = InlineParser(SimpleNamespace(_pending=[])), [], 0
    turns = 0

    def deliver(*_: bytes) -> None:
        nonlocal at
        at += 1_000_000
        calls.append(turns)

    def other() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(other)

    handled: list[int] = []

    def after(count: int) -> Deliver:
        handled.append(count)
        return deliver

    parser._ticks = lambda: at
    parser.serve(7, deliver, after)
    asyncio.get_running_loop().call_soon(other)
    await parser.parse(slow_messages(14, 2_500) + b"MSG half")
    assert len(calls) == 14
    assert max(calls.count(turn) for turn in calls) == TURN_NS // 1_000_000 + 1
    assert sum(handled) == 14  # who is told of reads is told of each part of one
    assert parser._rest == b"MSG half"


async def test_a_read_of_quick_requests_is_one_turn() -> None:
    parser = InlineParser(SimpleNamespace(_pending=[]))
    handled: list[int] = []

    def deliver(*_: bytes) -> None:
        """It takes no time."""

    def after(count: int) -> Deliver:
        handled.append(count)
        return deliver

    parser._ticks = lambda: 0
    parser.serve(7, deliver, after)
    await parser.parse(slow_messages(120, 150))
    assert handled == [120]


async def test_the_rest_of_a_read_is_dropped_if_the_connection_is_lost_meanwhile() -> None:
    parser, at, delivered = InlineParser(SimpleNamespace(_pending=[])), 0, 0

    def deliver(*_: bytes) -> None:
        nonlocal at, delivered
        at, delivered = at + TURN_NS + 1, delivered + 1

    parser._ticks = lambda: at
    parser.serve(7, deliver, lambda _: deliver)
    asyncio.get_running_loop().call_soon(parser.reset)
    await parser.parse(slow_messages(5, 3_000) + b"MSG half")
    assert delivered == 1
    assert parser._rest == b""
