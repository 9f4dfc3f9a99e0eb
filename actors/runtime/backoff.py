"""Backoff of users that cannot be loaded: each failure in a row makes the pause longer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from messages.errors import RequestError

BACKOFF_S: Final = (0.1, 0.5, 2.0, 5.0)
"""How long a user that failed to load is refused, by how often it failed in a row."""
BACKOFF_USERS_MAX: Final = 10_000


class _Failed(NamedTuple):
    """How a user failed.

    Attributes:
        times: how often in a row.
        until: when the pause is over.
        message: why requests are refused.
        retryable: whether it helps to ask again.
        ready_at: when it may help, if that was said; else it is when the pause is over.
    """

    times: int
    until: float
    message: str
    retryable: bool
    ready_at: float


class Backoff:
    """The users that failed to load: how often in a row, and until when each is refused.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failed: OrderedDict[str, _Failed] = OrderedDict()

    def failed(self, user: str, why: RequestError) -> RequestError:
        """Note that a user could not be loaded; returns what its requests are answered."""
        before, now = self._failed.get(user), self._now()
        times = 0 if before is None else before.times
        until = now + BACKOFF_S[min(times, len(BACKOFF_S) - 1)]
        ready_at = max(until, now + (why.retry_after or 0))
        failed = _Failed(times + 1, until, why.message, why.retryable, ready_at)
        self._failed[user] = failed
        self._failed.move_to_end(user)
        while len(self._failed) > BACKOFF_USERS_MAX:
            self._failed.popitem(last=False)
        return _refusal(failed, now)

    def loaded(self, user: str) -> None:
        """A user was loaded: the next failure is a first one."""
        self._failed.pop(user, None)

    def refusal(self, user: str) -> RequestError | None:
        """What requests of a user are answered while its pause lasts, None if it does not."""
        failed = self._failed.get(user)
        if failed is None:
            return None
        now = self._now()
        return _refusal(failed, now) if failed.until > now else None


def _refusal(failed: _Failed, now: float) -> RequestError:
    retry_after = failed.ready_at - now if failed.retryable else None
    return RequestError(
        "unavailable", failed.message, retryable=failed.retryable, retry_after=retry_after
    )
