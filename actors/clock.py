"""The only reader of time in the service."""

from __future__ import annotations

import time
from typing import Final, Protocol

_SINCE_START: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux's monotonic clock stands while the machine is suspended; that of others does not."""


class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> int:
        """Microseconds since 1970-01-01T00:00:00Z."""
        ...

    def elapsed(self) -> int:
        """Microseconds since some moment; nobody can set it, and it goes on while suspended."""
        ...

    def ticks(self) -> int:
        """Nanoseconds since some moment; never runs backwards. For measuring."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Microseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns() // 1000

    def elapsed(self) -> int:
        """Microseconds since the machine was started."""
        return time.clock_gettime_ns(_SINCE_START) // 1000

    def ticks(self) -> int:
        """Nanoseconds since some moment; never runs backwards. For measuring."""
        return time.perf_counter_ns()
