"""Ids that could not be loaded are refused for a while, the longer the more often in a row."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

BACKOFF_S: Final = (0.1, 0.5, 2.0, 5.0)
"""How long a user that failed to load is refused, by how often it failed in a row."""
BACKOFF_USERS_MAX: Final = 10_000


class Backoff:
    """Who failed to load, how often in a row, and until when that one is refused.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def failed(self, user: str) -> float:
        """A user could not be loaded; for how many seconds that one is refused."""
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
        """For how many seconds a user is refused yet; 0 or less for one who is not."""
        failed = self._failed.get(user)
        return 0.0 if failed is None else failed[1] - self._now()
