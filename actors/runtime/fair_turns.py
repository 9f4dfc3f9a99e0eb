"""Whose work off the loop is next: users take turns, however much each of them asks for.

The one who has waited longest is next, and goes behind all others then (round robin). None has
more than half of the places, so a user's long reads leave room for another's short one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from actors.runtime.cell import Cell, Detour
from actors.runtime.request import Request

AT_ONCE_MAX: Final = 8
"""Reads of the log under way at once: each may hold a whole page in memory."""
OF_USER_MAX: Final = AT_ONCE_MAX // 2
"""Those of one user."""

Work = tuple[Cell, Request, Detour]


class FairTurns:
    """The detours that wait and how many are under way, by user.

    How many wait is bounded by whoever counts the requests.

    Args:
        begin: begins what is next; `ended` has to be called when it is over.
    """

    def __init__(self, begin: Callable[[Cell, Request, Detour], None]) -> None:
        self._begin = begin
        self._waiting: OrderedDict[str, deque[Work]] = OrderedDict()
        self._under_way: dict[str, int] = {}
        self._count = 0

    def add(self, cell: Cell, request: Request, detour: Detour) -> None:
        """Begin a detour, now or when its turn comes."""
        queue = self._waiting.get(cell.user)
        if queue is None:
            queue = self._waiting[cell.user] = deque()
        queue.append((cell, request, detour))
        self._go_on()

    def ended(self, user: str) -> None:
        """A detour of a user is over."""
        self._count -= 1
        left = self._under_way[user] - 1
        if left:
            self._under_way[user] = left
        else:
            del self._under_way[user]
        self._go_on()

    def clear(self) -> list[Request]:
        """Forget all that wait; returns them."""
        waiting = [request for queue in self._waiting.values() for _, request, _ in queue]
        self._waiting.clear()
        return waiting

    def _go_on(self) -> None:
        while self._count < AT_ONCE_MAX:
            user = self._next()
            if user is None:
                return
            queue = self._waiting[user]
            cell, request, detour = queue.popleft()
            if queue:
                self._waiting.move_to_end(user)
            else:
                del self._waiting[user]
            self._count += 1
            self._under_way[user] = self._under_way.get(user, 0) + 1
            self._begin(cell, request, detour)

    def _next(self) -> str | None:
        """Who has waited longest of those who may have more under way."""
        for user in self._waiting:  # at most two of them may not
            if self._under_way.get(user, 0) < OF_USER_MAX:
                return user
        return None
