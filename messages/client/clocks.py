"""What a caller knows of the service's clock: how far it is ahead of the caller's own.

A deadline is a time of the service's clock, a budget a time of the caller's. If a request is
refused by its deadline before its budget has run out, the clocks differ, and the error says by
how much (contract 1.1, section 0). If the service's clock is behind, deadlines are later than they
had to be, which harms nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from ..errors import RequestError

TELLING_S: Final = 0.5
"""Clocks that differ by less are no reason that a caller could mend."""


class ServiceClock:
    """The service's clock, as far as it is known.

    Args:
        now: the caller's clock.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._ahead = timedelta(0)

    def after(self, seconds: float) -> datetime:
        """What it shows in this many seconds."""
        return self._now() + self._ahead + timedelta(seconds=seconds)

    def learn(self, error: RequestError) -> bool:
        """Take in what an error that has just come says of it; whether it says anything.

        The way of the answer makes the clock seem to be behind by as much, so a deadline that
        goes by it never lets a request run after its budget.
        """
        if error.now is None:
            return False
        self._ahead = error.now - self._now()
        return True

    def named(self, error: RequestError) -> RequestError:
        """The error with both clocks in its text, if it shows that they differ."""
        ahead = 0.0 if error.now is None else (error.now - self._now()).total_seconds()
        if abs(ahead) < TELLING_S:
            return error
        how = f"{abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'}"
        return RequestError(
            error.code,
            f"{error.message}; the service's clock is {how} the caller's: set one of them right",
            field=error.field,
            retry_after=error.retry_after,
            event_id=error.event_id,
            error_id=error.error_id,
            now=error.now,
        )
