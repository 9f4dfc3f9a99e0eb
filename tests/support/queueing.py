"""A server with all that waits in it, and a service whose work takes time, in virtual time.

The load shedder is the real one, and so is the edge. What a call, a refusal and a commit take are
arguments, so that what an overload comes to does not depend on the machine.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Final, NamedTuple

from actors.edge.dispatch import Edge
from actors.edge.load_shedding import STAMP_MICROS, LoadShedder
from actors.edge.parser import Deliver
from actors.runtime.request import Request
from messages.codec import decode_error
from messages.subjects import PREFIX
from messages.units import to_micros
from persistence.writer import Waiter

US: Final = 1_000
S: Final = 1_000_000_000
READ: Final = 128
TURN: Final = 5 * US
READS: Final = 4
"""Reads of the socket in a turn of the loop, and messages in each, if so many are there."""
START_MS: Final = 7
"""The clock's zero is no special moment."""

Arrivals = Iterator[tuple[int, str]]
"""When each request arrives at the server, in order, and of which user."""


@dataclass
class Costs:
    """What things take, in nanoseconds."""

    read: int = 600
    call: int = 22 * US
    refusal: int = 1_200
    commit: int = 400 * US


class Answered(NamedTuple):
    """A request that has its answer; times in nanoseconds."""

    user: str
    at: int
    took: int
    refused: bool


@dataclass
class World:
    """Runs the load shedder against what arrives.

    Attributes:
        at: the clock.
        answers: all of them, in the order in which they were given.
        way: what a PING takes to a server that is far away, in nanoseconds.
        most: how many waited in the service and in front of it at most.
    """

    waiting_max: int
    costs: Costs = field(default_factory=Costs)
    at: int = START_MS * 1_000_000
    answers: list[Answered] = field(default_factory=list)
    most: int = 0
    accepting: bool = True
    next_seq: int = 1
    losses: int = 0
    way: int = 0

    def __post_init__(self) -> None:
        self._queue: deque[tuple[bytes, bytes] | asyncio.Future[bool]] = deque()
        self._number = 0
        self._far: deque[tuple[int, asyncio.Future[bool]]] = deque()
        self._soon: list[Callable[[], None]] = []
        self._uncommitted: list[Waiter] = []
        self._sent: dict[bytes, tuple[str, int]] = {}
        self.edge = Edge(PREFIX, self._dispatch, self, self)
        self.shedder = LoadShedder(
            self.edge,
            self,
            self,
            lambda: self.at,
            self._soon.append,
            lambda: len(self._uncommitted),
            self.waiting_max,
        )
        self.shedder.after_read(0)  # as at a start: how far away the server is

    def run(self, arrivals: Arrivals) -> None:
        """Until all that arrives is answered."""
        coming = next(arrivals, None)
        deliver: Deliver = self.edge.deliver
        while coming is not None or self._sent:
            while coming is not None and coming[0] <= self.at:
                self._arrive(*coming)
                coming = next(arrivals, None)
            while self._far and self._far[0][0] <= self.at:
                self._queue.append(self._far.popleft()[1])
            count = 0
            for _ in range(READS):
                if not self._queue:
                    break
                count = self._read(deliver)
                deliver = self.shedder.after_read(count)
            self.at += TURN
            soon, self._soon[:] = list(self._soon), []
            for call in soon:
                call()
            self.most = max(self.most, self.shedder.waiting + len(self._uncommitted))
            if self._uncommitted:
                self._commit()
            elif not self._queue and not self._soon and coming is not None:
                self.at = max(self.at, coming[0])
            assert self._queue or self._soon or coming or self._uncommitted or not self._sent

    # what the load shedder and the edge are given

    def now(self) -> int:
        return self.at // US

    def elapsed(self) -> int:
        return self.at // US

    def ticks(self) -> int:
        return self.at

    def ping(self) -> asyncio.Future[bool]:
        pong = asyncio.get_running_loop().create_future()
        if self.way:
            self._far.append((self.at + self.way, pong))
        else:
            self._queue.append(pong)
        return pong

    def send(self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
        self._answered(reply_to, refused=headers is not None)

    def send_ready(self, reply_to: bytes, rest: bytes) -> None:
        assert _says_overloaded(rest, self.now())
        self.at += self.costs.refusal
        self._answered(reply_to, refused=True)

    def after(self, seq: int, waiter: Waiter) -> None:
        if self._uncommitted:
            self._uncommitted.append(waiter)
        else:
            waiter.durable()

    def _read(self, deliver: Deliver) -> int:
        count = 0
        while self._queue and count < READ:
            item = self._queue.popleft()
            if isinstance(item, asyncio.Future):
                item.set_result(True)
            else:
                count += 1
                self.at += self.costs.read
                deliver(item[0], item[1], b'{"provider":"exa"}', b"")
        return count

    def _arrive(self, at: int, user: str) -> None:
        self._number += 1
        reply_to = b"r.%d" % self._number
        self._sent[reply_to] = user, at
        self._queue.append((_subject(user), reply_to))

    def _dispatch(self, request: Request) -> None:
        self.at += self.costs.call
        self._uncommitted.append(request)

    def _commit(self) -> None:
        block, self._uncommitted = self._uncommitted[:512], self._uncommitted[512:]
        self.at += self.costs.commit
        for waiter in block:
            waiter.durable()

    def _answered(self, reply_to: bytes, *, refused: bool) -> None:
        user, at = self._sent.pop(reply_to)  # a second answer finds nothing
        self.answers.append(Answered(user, at, self.at - at, refused))


@cache
def _subject(user: str) -> bytes:
    return f"{PREFIX}.track.{user}".encode()


@cache
def _says_overloaded(rest: bytes, now: int) -> bool:
    """Whether the bytes behind a subject are a whole refusal of now; it has few of them, ready."""
    sizes, _, whole = rest.partition(b"\r\n")
    assert int(sizes.split()[1]) == len(whole) - 2
    error = decode_error(rest[rest.rindex(b'{"error"') : -2])
    assert error.now is not None
    assert 0 <= now - to_micros(error.now) < STAMP_MICROS
    return error.code == "overloaded" and bool(error.retry_after)
