"""Has periods closed when they end, also those of users who never come back.

The journal has an index of when periods end. Every few seconds what ended since the last look is
read from it, and the actor of each user whose period is open is asked to close it, as by any other
request: paced, a few at a time. Between two ends a look finds nothing, however many users there
are; a user whose period is closed, or has no usage, is not loaded.

``seen`` is the moment up to which all is dealt with. It falls back when the clock does: before a
look, and for a period that was opened before it, which may end before it too. What is stored of it
is behind, so that after a crash some ends are looked at again, and a user is asked again.

A user whose stored bytes are damaged is asked once: nothing mends them while the service runs. So
many of them keep nobody else from being asked, and the next start asks them again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import structlog

from actors.clock import Clock
from actors.edge.repeated import Repeated
from actors.runtime.request import Request
from messages.codec import decode_error
from messages.control import Close
from messages.stored.events import (
    KIND,
    PeriodRolled,
)
from messages.subjects import encode_user
from messages.units import MICROS_PER_SECOND
from persistence.damage import in_full, tell
from persistence.errors import Corrupt, JournalError, NotStored
from persistence.journal import Ends
from persistence.records import Ended, Row

LOOK_S: Final = 10.0
RATE: Final = 2_000
"""Users asked per second at most: half of that is owed, and others' requests come first."""
GROUP: Final = 8
"""Users asked in one turn of the loop: each takes some 0.1 ms of it, with what is published."""
IN_FLIGHT: Final = 64
PAGE: Final = 256
FAILED_MAX: Final = 1_000
"""Users that could not be asked and are asked again with each look; with more, all wait."""
MARK_S: Final = 60.0
BACK: Final = 3_600 * MICROS_PER_SECOND
"""A start looks so far behind what is stored: the clock may have been ahead before."""
_ROLLED: Final = KIND[PeriodRolled]
_NEVER: Final = 1 << 62

_log = structlog.get_logger(__name__)


class Asked(Protocol):
    """The registry."""

    def dispatch(self, request: Request) -> None:
        """Take a request."""

    def has(self, user: str) -> bool:
        """Whether a user is in memory."""
        ...

    def let_go(self, user: str) -> None:
        """Drop a user who was loaded for a request."""


class Closing:
    """See the module's docstring.

    Args:
        ends: the index.
        registry: takes the requests.
        clock: says what time it is.
        flushed: waits until what is appended by now is in the log.
        look_s: seconds between two looks.
    """

    def __init__(
        self,
        ends: Ends,
        registry: Asked,
        clock: Clock,
        flushed: Callable[[], Awaitable[object]],
        *,
        look_s: float = LOOK_S,
    ) -> None:
        self._flushed = flushed
        self._ends = ends
        self._registry = registry
        self._clock = clock
        self._look_s = look_s
        self._time = asyncio.get_running_loop().time
        self._seen = self._until = -1
        self._opened_at = _NEVER  # the earliest opening since the last look that came before it
        self._marked = 0
        self._mark_at = 0.0
        self._found = False  # whether there is something to mark
        self._failed: dict[str, int] = {}  # when it ended, by user
        self._damaged: set[str] = set()  # of those that are asked just now
        self._damaged_from = _NEVER  # the earliest end of damaged users
        self._postponed = Repeated(_log.warning, "closing_postponed")
        self._waiting: dict[str, bool] = {}  # whether the user was in memory before
        self._loaded: list[str] = []
        self._room = asyncio.Event()
        self._next_at = 0.0
        self._halted = False

    async def run(self) -> None:
        """Look at once, and then every few seconds, for ever."""
        begun = False
        while True:
            begun = begun or await self._begun()
            if begun and not self._halted:
                await self.look()
            await asyncio.sleep(self._look_s)

    def halt(self) -> None:
        """Ask nobody any more: the service stops."""
        self._halted = True
        self._room.set()

    def take(self, noticed: Sequence[Row]) -> None:
        """Look at rows that have become durable and notify: a period may have been opened."""
        for row in noticed:
            if row.at < self._until and row.kind == _ROLLED:
                self._opened_at = min(self._opened_at, row.at)

    async def look(self) -> None:
        """Have closed what ended since the last look; what fails is left for the next one."""
        self._until = now = self._clock.now()
        self._seen = min(self._seen, now, self._opened_at)
        self._opened_at = _NEVER
        with suppress(NotStored):  # then there is nothing to look for
            await self._flushed()  # a first call that is under way makes its period one to close
        began, asked = self._time(), 0
        again, self._failed = self._failed, {}
        try:
            asked += await self._ask([Ended(end, 0, user) for user, end in again.items()])
            after: Ended | None = Ended(self._seen, _NEVER, "")
            while after is not None and not self._halted:
                page = await self._ends.ended(after, now, PAGE)
                asked += await self._ask(page.found)
                if len(self._failed) > FAILED_MAX or self._halted:
                    return
                after = page.last
                self._found = self._found or bool(page.found) or after is not None
                self._seen = now if after is None else after.end - 1
            await self._mark()
        except JournalError as error:
            self._postpone(error)
        finally:
            if asked:
                seconds = round(self._time() - began, 3)
                _log.info("periods_closed", users=asked, failed=len(self._failed), seconds=seconds)

    def _postpone(self, error: JournalError) -> None:
        if isinstance(error, Corrupt):
            tell(error)
        self._postponed.note(error=in_full(error))

    def send(self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Hear that a user has answered; see `Replies`. Only an error has headers."""
        user = reply_to.decode()
        was_there = self._waiting.pop(user)
        if headers is not None:
            error = decode_error(payload)
            damaged = error.code == "unavailable" and not error.retryable
            if damaged:
                self._damaged.add(user)
            else:
                self._failed[user] = self._until
        elif not was_there:
            self._loaded.append(user)  # it is let go when its request is counted
        self._room.set()

    def now(self) -> int:
        """See `Replies`."""
        return self._clock.now()

    async def _begun(self) -> bool:
        try:
            self._marked = await self._ends.dealt_with()
        except JournalError as error:
            self._postpone(error)
            return False
        self._seen = self._until = max(min(self._marked, self._clock.now()) - BACK, -1)
        return True

    async def _ask(self, found: Sequence[Ended]) -> int:
        """Ask users to close their periods, and wait for their answers; of how many."""
        for count, one in enumerate(found):
            while len(self._waiting) >= IN_FLIGHT:
                await self._answered()
            if self._halted:
                return count
            if one.user not in self._waiting:
                self._dispatch(one)
            if count % GROUP == GROUP - 1:
                await self._paced()
        while self._waiting and not self._halted:
            await self._answered()
        await self._paced()
        for one in found:
            if one.user in self._failed:
                self._failed[one.user] = one.end
            elif one.user in self._damaged:
                self._damaged_from = min(self._damaged_from, one.end)
        self._damaged.clear()
        return len(found)

    def _dispatch(self, one: Ended) -> None:
        user = one.user
        self._waiting[user] = self._registry.has(user)
        self._registry.dispatch(Request(user, encode_user(user), Close(), user.encode(), self))

    async def _answered(self) -> None:
        self._room.clear()
        await self._room.wait()

    async def _paced(self) -> None:
        """Let go who was loaded, and wait until the next ones may be asked."""
        loaded, self._loaded = self._loaded, []
        for user in loaded:
            self._registry.let_go(user)
        now = self._time()
        self._next_at = max(self._next_at, now - GROUP / RATE) + GROUP / RATE
        await asyncio.sleep(max(self._next_at - now, 0))

    async def _mark(self) -> None:
        """Store up to where all is dealt with: now and then, if something was found.

        It is stored at once if it falls, as it does if the clock was ahead: what ends before
        the moment that the clock showed may get its usage from now on.
        """
        failed = (end - 1 for end in self._failed.values())
        until = min([self._seen, self._damaged_from - 1, *failed])
        due = self._found and self._time() >= self._mark_at
        if not due and until >= self._marked:
            return
        if until != self._marked:
            await self._ends.mark_dealt_with(until)
            self._marked = until
        self._mark_at, self._found = self._time() + MARK_S, False
