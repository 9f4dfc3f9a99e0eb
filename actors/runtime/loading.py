"""Actors are loaded many at a time: requests during one read go into the next one.

So a read is for one user if one comes, and for many under load, as blocks of a log are. A
user whose state cannot be loaded costs no other's: if a read for many fails each is read
alone, and a user who takes several reads gets them in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import structlog

from actors.runtime.cell import Actor, Cell
from actors.runtime.unreadable import has_its_line
from persistence.errors import JournalError
from persistence.exhaustion import tell_if_exhausted

TOGETHER: Final = 64
"""Users that are read together at most."""
BEGUN_PER_TURN: Final = 32
"""Users that are restored before the loop gets a turn."""
ROWS_PER_TURN: Final = 64
"""Rows that are replayed for them, after which it gets one in any case."""

_log = structlog.get_logger(__name__)


class Begun(NamedTuple):
    """An actor of what was read.

    Attributes:
        actor: the actor.
        rest: what it takes to have all of the state, None if it has; it raises `JournalError`.
        rows: how many were replayed for it.
    """

    actor: Actor
    rest: Callable[[], Awaitable[None]] | None = None
    rows: int = 0


class Recovery(Protocol):
    """How actors are loaded."""

    async def read(self, users: Sequence[str]) -> Mapping[str, Any]:
        """What is stored of these users; a user that is left out is loaded alone.

        Raises:
            JournalError: it cannot be read, perhaps of one of them only.
        """
        ...

    def begin(self, user: str, stored: Any) -> Begun:
        """The actor of what `read` gave of a user.

        Raises:
            JournalError: it is of no use.
        """
        ...

    async def alone(self, user: str) -> Actor:
        """Load one user's actor.

        Raises:
            JournalError: it cannot be loaded.
        """
        ...


class Loads:
    """The loads that wait and those under way.

    Args:
        recovery: loads.
        ready: awaited before each read, until the log may be read. Its argument is true for
            the successor of an actor that was dropped: what that one appended has to be settled
            first, durable or lost.
        users_max: how many users may be under way at once.
        spawn: runs a task, until the service ends.
        loaded: called with each cell and its actor, or why it cannot be loaded.
    """

    def __init__(
        self,
        recovery: Recovery,
        ready: Callable[[bool], Awaitable[None]],
        users_max: int,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        loaded: Callable[[Cell, Actor | Exception], None],
    ) -> None:
        self._recovery = recovery
        self._ready = ready
        self._users_max = users_max
        self._spawn = spawn
        self._loaded = loaded
        self._waiting: deque[Cell] = deque()
        self._under_way = 0
        self._reading = False

    def add(self, cell: Cell, *, after_drop: bool) -> None:
        """Load the actor of a cell."""
        if after_drop:
            self._spawn(self._settle(cell))
        else:
            self._waiting.append(cell)
            self._go_on()

    def _go_on(self) -> None:
        """Begin the next read if there is room for it.

        One at a time: the next one is for all who came meanwhile.
        """
        if self._waiting and not self._reading and self._under_way < self._users_max:
            self._reading = True
            self._spawn(self._load())

    async def _settle(self, cell: Cell) -> None:
        try:
            await self._ready(True)
        except JournalError as error:
            self._failed(cell, error)
        else:
            self.add(cell, after_drop=False)

    async def _load(self) -> None:
        # A task runs in the next turn: all who came in this one are there.
        room = min(TOGETHER, self._users_max - self._under_way, len(self._waiting))
        cells = [self._waiting.popleft() for _ in range(room)]
        self._under_way += room
        stored = await self._read(cells)
        self._reading = False
        if self._waiting:
            self._go_on()
            await asyncio.sleep(0)  # the next ones are read while these are restored
        users = rows = 0
        for cell in cells:
            users, rows = users + 1, rows + self._begin(cell, stored)
            if users == BEGUN_PER_TURN or rows >= ROWS_PER_TURN:
                users = rows = 0
                await asyncio.sleep(0)

    async def _read(self, cells: Sequence[Cell]) -> Mapping[str, Any] | JournalError:
        try:
            await self._ready(False)
        except JournalError as error:  # it cannot be read any more
            return error
        try:
            return await self._recovery.read([cell.user for cell in cells])
        except JournalError as error:
            return error if len(cells) == 1 else {}
        except Exception as error:  # noqa: BLE001 -- a defect must not keep all others from being loaded
            tell_if_exhausted(error)
            _log.exception("read_of_many_failed")
            return {}

    def _begin(self, cell: Cell, stored: Mapping[str, Any] | JournalError) -> int:
        """Restore a user's actor; how many rows were replayed for it here."""
        if isinstance(stored, JournalError):
            self._end(cell, stored)
            return 0
        if cell.user not in stored:
            self._spawn(self._finish(cell, None))
            return 0
        try:
            begun = self._recovery.begin(cell.user, stored[cell.user])
        except Exception as error:  # noqa: BLE001 -- as in _finish
            self._end(cell, error)
            return 0
        if begun.rest is None:
            self._end(cell, begun.actor)
        else:
            self._spawn(self._finish(cell, begun))
        return begun.rows

    async def _finish(self, cell: Cell, begun: Begun | None) -> None:
        """Load what one user needs beyond the read for many."""
        try:
            if begun is None:
                actor = await self._recovery.alone(cell.user)
            else:
                actor = begun.actor
                if begun.rest is not None:
                    await begun.rest()
        except Exception as error:  # noqa: BLE001 -- a defect in one user's log must not end the service
            self._end(cell, error)
        else:
            self._end(cell, actor)

    def _end(self, cell: Cell, how: Actor | Exception) -> None:
        """A user is not under way any more."""
        self._under_way -= 1
        if isinstance(how, Exception):
            self._failed(cell, how)
        else:
            self._loaded(cell, how)
        self._go_on()

    def _failed(self, cell: Cell, error: Exception) -> None:
        tell_if_exhausted(error)
        if not isinstance(error, JournalError):
            _log.error("recovery_failed", user=cell.user, exc_info=error)
        elif not has_its_line(error):
            _log.error("recovery_failed", user=cell.user, error=str(error))
        self._loaded(cell, error)
