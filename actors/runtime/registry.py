"""One live actor per id: claim, stash, route, passivate, recover. Knows no billing.

A cell is claimed synchronously, before anything is awaited, so an id never has two actors.
While its actor is being loaded, or a request of it looks something up on disk, later requests
wait in the cell's stash and then run in order. Every request gets exactly one answer: also
when its actor fails to load, a handler raises, a queue is full or the service stops.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

import structlog

from actors.runtime.backoff import Backoff
from actors.runtime.cell import Actor, Cell, Detour
from actors.runtime.fair_turns import FairTurns
from actors.runtime.loading import Loads, Recovery
from actors.runtime.request import Request
from actors.runtime.unreadable import FAILED, has_its_line, refusal_of
from messages.errors import RequestError
from persistence.exhaustion import tell_if_exhausted

PASSIVATED_MAX: Final = 1_000
"""Actors that a sweep looks at, a few in a turn of the loop: to write one may take milliseconds."""
RELEASED_PER_CLAIM: Final = 4
LOOKED_AT_PER_CLAIM: Final = 64
"""At the cap a new actor pushes out at most the first number, among the second of the oldest."""
RESUMED_PER_TURN: Final = 64
"""Requests of a stash that are run before others have their turn."""
TURN_S: Final = 0.004
"""So long they are, or actors are written, before others have their turn."""
OVERLOADED_S: Final = 1.0
"""``retry_after`` of a refusal because a queue is full."""

_log = structlog.get_logger(__name__)


class Bounds(NamedTuple):
    """The registry's bounds."""

    live_max: int
    live_bytes_max: int
    idle_s: float
    recoveries_max: int
    waiting_max: int
    waiting_per_user_max: int


class Registry:
    """All live actors of the process.

    Args:
        recovery: loads actors, ``limits.recoveries_max`` at a time.
        ready: see `Loads`.
        limits: the bounds.
        now: monotonic seconds.
        clock: microseconds since the epoch, which deadlines are in.
        kept: ids whose actors are never passivated: to load one costs others too much.
    """

    def __init__(
        self,
        recovery: Recovery,
        ready: Callable[[bool], Awaitable[None]],
        limits: Bounds,
        now: Callable[[], float],
        clock: Callable[[], int],
        kept: Collection[str] = (),
    ) -> None:
        self._limits = limits
        self._waiting_max = limits.waiting_max
        self._per_user_max = limits.waiting_per_user_max
        self._now = now
        self._clock = clock
        self._kept = frozenset(kept)
        self._cells: OrderedDict[str, Cell] = OrderedDict()
        self._turns = FairTurns(self._begin_detour)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loads = Loads(recovery, ready, limits.recoveries_max, self._spawn, self._loaded)
        self._backoff = Backoff(now)
        self._bytes = 0
        self._idle: asyncio.Event | None = None  # only while somebody waits for it
        self.waiting = 0
        self.open = True

    def __len__(self) -> int:
        return len(self._cells)

    def dispatch(self, request: Request) -> None:
        """Take a request: handle it now, stash it, or refuse it."""
        cell = self._cells.get(request.user)
        if self.waiting >= self._waiting_max or cell is None or cell.waiting >= self._per_user_max:
            refusal = self._refusal(request.user, cell)
            if refusal is not None:
                request.refuse(refusal)
                return
        if cell is None:
            cell = self._claim(request.user)
        else:
            cell.again = True
        cell.used_at = self._now()
        cell.waiting += 1
        self.waiting += 1
        request.cell = cell
        request.owner = self
        if cell.busy:
            cell.opened().append(request)
        elif cell.actor is None:
            cell.opened().append(request)
            self._load(cell, after_drop=True)
        else:
            self._handle(cell, request)

    def actor(self, user: str) -> Actor | None:
        """The live actor of an id: its state may be ahead of the log."""
        cell = self._cells.get(user)
        return None if cell is None else cell.actor

    def has(self, user: str) -> bool:
        """Whether an id has a place: its actor is live or under way."""
        return user in self._cells

    def let_go(self, user: str) -> None:
        """Passivate an actor that was loaded for one request, unless others came meanwhile."""
        cell = self._cells.get(user)
        if cell is not None and not cell.again and self._releasable(cell):
            self._release(cell)

    def answered(self, request: Request) -> None:
        """A request that was dispatched has its answer."""
        request.cell.waiting -= 1
        self.waiting -= 1
        if self._idle is not None and self.waiting == 0:
            self._idle.set()

    def forget(self, users: set[str]) -> None:
        """Drop the actors of these users: their state is ahead of the log."""
        for user in sorted(users):  # the same order in every process
            cell = self._cells.get(user)
            if cell is not None and cell.actor is not None:
                self._drop(cell)

    async def quiesce(self) -> None:
        """Wait until every dispatched request is answered."""
        while self.waiting:
            self._idle = asyncio.Event()
            await self._idle.wait()
            self._idle = None

    def passivate(self, most: int = PASSIVATED_MAX) -> int:
        """Snapshot and drop actors that are idle, among this many; called now and then.

        Returns:
            How many are left to be looked at when others have had their turn.
        """
        now = self._now()
        before, until = now - self._limits.idle_s, now + TURN_S
        for cell in list(islice(self._cells.values(), most)):
            if self._now() > until:
                return most
            most -= 1
            if cell.used_at <= before and self._releasable(cell):
                self._release(cell)
            else:
                self._queue(cell)
        return 0

    async def snapshot_all(self) -> int:
        """Have the state of live actors written; returns how many are."""
        done, until = 0, self._now() + TURN_S
        for count, cell in enumerate(list(self._cells.values())):
            if cell.actor is not None and cell.actor.quiescent():
                done += cell.actor.snapshot()
            if count % PASSIVATED_MAX == 0 or self._now() > until:
                await asyncio.sleep(0)  # so that blocks stay small and requests are heard
                until = self._now() + TURN_S
        return done

    async def close(self) -> None:
        """Refuse what still waits in stashes and end all tasks."""
        self.open = False
        self._waiting_max = 0  # whatever comes is refused
        for request in self._turns.clear():
            request.refuse(_stopping())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for cell in self._cells.values():
            cell.refuse(_stopping())

    def _claim(self, user: str) -> Cell:
        if len(self._cells) >= self._limits.live_max or self._bytes > self._limits.live_bytes_max:
            self._make_room()
        cell = self._cells[user] = Cell(user)
        self._load(cell, after_drop=False)
        return cell

    def _make_room(self) -> None:
        """Release some of the cells that were not used since they were queued.

        This is the clock algorithm (Corbato, "A Paging Experiment with the Multics System",
        1968): nearly the least recently used, and a use costs nothing but a flag.
        """
        used: list[Cell] = []
        idle: list[Cell] = []
        for cell in islice(self._cells.values(), LOOKED_AT_PER_CLAIM):
            if cell.again or not self._releasable(cell):
                used.append(cell)
                continue
            idle.append(cell)
            if len(idle) == RELEASED_PER_CLAIM:
                break  # nearly always at once: to look at each of the others costs as much
        for cell in used:
            self._queue(cell)
        for cell in idle:
            self._release(cell)

    def _queue(self, cell: Cell) -> None:
        """Put a cell behind all others."""
        cell.again = False
        self._cells.move_to_end(cell.user)

    def _releasable(self, cell: Cell) -> bool:
        """Whether a cell may go: nothing of it is under way."""
        if cell.busy or cell.waiting or cell.user in self._kept:
            return False
        return cell.actor is None or cell.actor.quiescent()

    def _release(self, cell: Cell) -> None:
        """Passivate a cell."""
        if cell.actor is not None:
            cell.actor.snapshot()
        self._remove(cell)

    def _remove(self, cell: Cell) -> None:
        self._bytes -= cell.weight
        del self._cells[cell.user]

    def _weigh(self, cell: Cell, actor: Actor) -> None:
        """Count the bytes of an actor; if all take too many, release some that are idle."""
        before, cell.weight = cell.weight, actor.weight()
        self._bytes += cell.weight - before
        if self._bytes > self._limits.live_bytes_max:
            self._make_room()

    def _handle(self, cell: Cell, request: Request) -> None:
        actor = cell.actor
        assert actor is not None
        try:
            detour = actor.handle(request)
        except RequestError as error:
            request.refuse(error)
        except Exception as error:  # noqa: BLE001 -- a defect of one handler must not end the service
            tell_if_exhausted(error)
            self._defect(request)
            # At once: its rows may be in flight, and an empty cell could be released and
            # claimed again before they are durable.
            cell.actor = None
            self._load(cell, after_drop=True)
        else:
            if request.grew:
                self._weigh(cell, actor)
            if detour is None:
                return
            if detour.blocks:
                cell.busy = True
                self._begin_detour(cell, request, detour)
            else:
                self._turns.add(cell, request, detour)

    def _begin_detour(self, cell: Cell, request: Request, detour: Detour) -> None:
        task = self._spawn(self._run_detour(cell, request, detour))
        task.add_done_callback(partial(self._end_detour, request, detour))

    async def _run_detour(self, cell: Cell, request: Request, detour: Detour) -> None:
        again = False
        try:
            request.check_deadline(self._clock())  # it has waited for its turn
            again = await detour.work()
        except RequestError as error:
            request.refuse(error)
        except FAILED as error:
            if not has_its_line(error):
                _log.warning("detour_failed", user=cell.user, error=str(error))
            request.refuse(refusal_of(error, "not executed: the log cannot be read", cell.user))
        except Exception as error:  # noqa: BLE001 -- as in _handle
            tell_if_exhausted(error)
            self._defect(request)
        if not detour.blocks:
            return
        if again:
            cell.opened().appendleft(request)
        self._resume(cell)

    def _end_detour(self, request: Request, detour: Detour, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # perhaps before it began, so nothing in it could answer
            request.refuse(_stopping())
        if not detour.blocks:
            self._turns.ended(request.user)

    def _resume(self, cell: Cell) -> None:
        """Run the stash in order, until it is empty or a request needs a detour.

        It may hold thousands of requests: after some of them others have their turn.
        """
        cell.busy = False
        left, until = RESUMED_PER_TURN, self._now() + TURN_S
        while not cell.busy:
            if cell.actor is None:
                if cell.stash:
                    self._load(cell, after_drop=True)
                return
            if left == 0 or self._now() > until:
                if cell.stash:
                    cell.busy = True  # later requests wait behind these
                    asyncio.get_running_loop().call_soon(self._resume, cell)
                return
            request = cell.take()
            if request is None:
                return
            left -= 1
            self._handle(cell, request)

    def _drop(self, cell: Cell) -> None:
        cell.actor = None
        if not cell.busy:
            self._resume(cell)

    def _load(self, cell: Cell, *, after_drop: bool) -> None:
        cell.busy = True
        self._loads.add(cell, after_drop=after_drop)

    def _loaded(self, cell: Cell, how: Actor | Exception) -> None:
        """The actor of a cell is there, or why it cannot be loaded."""
        if isinstance(how, Exception):
            why = refusal_of(how, "not executed: the user's state cannot be loaded", cell.user)
            refusal = self._backoff.failed(cell.user, why)
            self._remove(cell)
            cell.refuse(refusal)
            return
        self._backoff.loaded(cell.user)
        cell.actor = how
        self._weigh(cell, how)
        self._resume(cell)

    def _refusal(self, user: str, cell: Cell | None) -> RequestError | None:
        """Why a request cannot be taken, None if it can."""
        if not self.open:
            return _stopping()
        if self.waiting >= self._waiting_max or (
            cell is not None and cell.waiting >= self._per_user_max
        ):
            why = "not executed: too many requests wait"
            return RequestError("overloaded", why, retry_after=OVERLOADED_S)
        return self._backoff.refusal(user)

    @staticmethod
    def _defect(request: Request) -> None:
        error_id = secrets.token_hex(8)
        _log.exception("handler_failed", user=request.user, error_id=error_id)
        request.refuse(
            RequestError("internal", f"a defect; error id {error_id}", error_id=error_id)
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _stopping() -> RequestError:
    return RequestError("unavailable", "not executed: the service is stopping")
