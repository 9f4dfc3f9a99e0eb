"""Lines of the log that would repeat without end: one at once, then their number by the minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

QUIET_S: Final = 60.0
"""How long after a line its repetitions are counted only."""


class Repeated:
    """Says the same thing once, and from then on how often it happened in each minute.

    Args:
        tell: writes one line; it takes the event's name and fields.
        event: the name of the event.
        quiet_s: how long repetitions are counted before the next line says their number.

    Attributes:
        count: how often it happened in all.
    """

    def __init__(
        self, tell: Callable[..., object], event: str, *, quiet_s: float = QUIET_S
    ) -> None:
        self._tell = tell
        self._event = event
        self._quiet_s = quiet_s
        self._untold = 0
        self._timer: asyncio.TimerHandle | None = None
        self.count = 0

    def note(self, **fields: Any) -> None:
        """Count one more; the first after a quiet minute is told with its fields."""
        self.count += 1
        if self._timer is not None:
            self._untold += 1
            return
        self._tell(self._event, **fields)
        self._wait()

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._quiet_s, self._report)

    def _report(self) -> None:
        self._timer = None
        if self._untold:
            self._tell(self._event, again=self._untold, seconds=self._quiet_s)
            self._untold = 0
            self._wait()
