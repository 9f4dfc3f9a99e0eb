"""The only reader of time in the service."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> int:
        """Microseconds since 1970-01-01T00:00:00Z."""
        ...

    def ticks(self) -> int:
        """Nanoseconds since some moment; never runs backwards. For measuring."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Microseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns() // 1000

    def ticks(self) -> int:
        """Nanoseconds since some moment; never runs backwards. For measuring."""
        return time.perf_counter_ns()
