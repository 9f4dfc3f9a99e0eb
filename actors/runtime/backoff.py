"""Backoff of users that cannot be loaded: each failure in a row makes the pause longer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

BACKOFF_S: Final = (0.1, 0.5, 2.0, 5.0)
"""How long a user that failed to load is refused, by how often it failed in a row."""
BACKOFF_USERS_MAX: Final = 10_000


class Backoff:
    """The users that failed to load: how often in a row, and until when each is refused.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def failed(self, user: str) -> float:
        """Note that a user could not be loaded; returns the seconds of the pause."""
        failures = self._failed.get(user, (0, 0.0))[0]
        delay = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
        self._failed[user] = (failures + 1, self._now() + delay)
        self._failed.move_to_end(user)
        while len(self._failed) > BACKOFF_USERS_MAX:
            self._failed.popitem(last=False)
        return delay

    def loaded(self, user: str) -> None:
        """A user was loaded: the next failure is a first one."""
        self._failed.pop(user, None)

    def left(self, user: str) -> float:
        """The seconds that are left of a user's pause; at most 0 if there is none."""
        failed = self._failed.get(user)
        return 0.0 if failed is None else failed[1] - self._now()
