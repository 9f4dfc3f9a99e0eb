"""Holds requests and answers back while it is not known whether the prefix is still ours.

A process that stood still (it was stopped, its machine paused), or had no connection, has not
heard the claim of a meterd that started meanwhile. Until it has asked again, it answers nothing:
the other one may have taken the prefix.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from actors.edge.parser import TURN_NS, Deliver, size_of
from messages.errors import RequestError

BEATS: Final = 4
"""How often in the length of a gap the process says to itself that it runs."""
HELD_MAX: Final = 32_768
HELD_BYTES_MAX: Final = 64 * 1024 * 1024
LOST: Final = RequestError("unavailable", "not executed: another meterd serves the prefix")
FULL: Final = RequestError("unavailable", "not executed: it is asked who serves the prefix")
_NS: Final = 1_000_000_000
_NEVER_NS: Final = 1 << 62

_log = structlog.get_logger(__name__)

Message = tuple[bytes, bytes, bytes, bytes]
Refuse = Callable[[bytes, bytes, RequestError], None]
"""Answers the request of a subject and a reply subject with an error, past the fence."""


class Fence:
    """Open, nothing is in the way; closed, requests and answers wait.

    Once it is open, what waited goes on in turns of the loop, ahead of what comes: in one turn it
    could take so long that it looked like another standstill.

    Args:
        ticks: nanoseconds, which go on while the process stands still.
        gap_s: a standstill of more seconds closes it.
        refuse: for requests that cannot wait, or wait in vain.

    Attributes:
        closed: whether requests and answers wait.
        count: how often it was closed, also while it was.
        on_close: called then.
        on_open: called when answers may leave again, and after each turn of what waited.
    """

    def __init__(self, ticks: Callable[[], int], gap_s: float, refuse: Refuse) -> None:
        self._ticks = ticks
        self._gap_ns = int(gap_s * _NS)
        self._beat_s = gap_s / BEATS
        self._refuse = refuse
        self._last = ticks()
        self._deliver: Deliver | None = None
        self._held: deque[Message] = deque()
        self._bytes = 0
        self._lost = False
        self._moved = asyncio.Event()  # for who waits until it is open
        self._next: asyncio.Handle | None = None  # the next turn of what waited
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False
        self.count = 0
        self.on_close: Callable[[], None] = _nothing
        self.on_open: Callable[[], None] = _nothing

    def arm(self) -> None:
        """Watch for standstills from now on."""
        self._last = self._ticks()
        self._beat()

    def disarm(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._gap_ns = _NEVER_NS  # else the last answers would wait for ever

    def stands(self) -> bool:
        """Whether nothing may pass; looks whether the process stood still just now."""
        now = self._ticks()
        if now - self._last > self._gap_ns:
            self._last = now
            self.close()
        return self.closed

    def close(self) -> None:
        """Let nothing pass until it has been asked who serves the prefix."""
        self.closed = True
        self.count += 1
        self.on_close()

    def guard(self, deliver: Deliver) -> Deliver:
        """Who takes the messages of this read: ``deliver``, if they may pass."""
        if not self.stands() and not self._held:
            return deliver
        self._deliver = deliver
        return self._hold

    def open(self) -> None:
        """Let everything pass that waited, in its order, and what comes."""
        self.closed = False
        self._last = self._ticks()
        if self._next is None:
            self._go_on()
        else:
            self.on_open()

    def lose(self) -> None:
        """Let no answer pass any more; requests that waited are refused."""
        self.closed = self._lost = True
        held, self._held, self._bytes = self._held, deque(), 0
        for subject, reply_to, _, _ in held:
            self._refuse(subject, reply_to, LOST)
        self._moved.set()

    async def passed(self) -> None:
        """Wait until it is open and nothing waits, or nothing will pass any more."""
        while (self.closed or self._held) and not self._lost:
            self._moved.clear()
            await self._moved.wait()

    def _go_on(self) -> None:
        """Let some of what waited pass; the rest in the next turn of the loop."""
        self._next = None
        end = self._ticks() + TURN_NS
        while self._held and not self.closed:
            message = self._held.popleft()
            self._bytes -= size_of(*message)
            assert self._deliver is not None
            self._deliver(*message)
            if self._held and self._ticks() > end:
                self._next = asyncio.get_running_loop().call_soon(self._go_on)
                break
        if not self.closed:
            self.on_open()
        self._moved.set()

    def _beat(self) -> None:
        self.stands()
        self._last = self._ticks()
        self._timer = asyncio.get_running_loop().call_later(self._beat_s, self._beat)

    def _hold(self, subject: bytes, reply_to: bytes, payload: bytes, headers: bytes) -> None:
        if self._lost:
            self._refuse(subject, reply_to, LOST)
        elif not self.closed and not self._held:  # it was opened in the middle of this read
            assert self._deliver is not None
            self._deliver(subject, reply_to, payload, headers)
        elif len(self._held) >= HELD_MAX or self._bytes > HELD_BYTES_MAX:
            self._refuse(subject, reply_to, FULL)
        else:
            self._held.append((subject, reply_to, payload, headers))
            self._bytes += size_of(subject, reply_to, payload, headers)


def _nothing() -> None:
    """Nobody wants to know."""
