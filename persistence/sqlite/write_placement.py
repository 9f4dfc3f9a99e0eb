"""Where a block is written: on the event loop itself while that takes no time, else in a thread.

A thread costs a small block more than its write: each hop takes the interpreter lock away from
the loop, or waits for it. But a disk that stalls must not stall the loop, so after a slow
write the thread takes over: for a moment if it was one of its kind, for seconds if the
next one is slow again, and after a stall until the thread has written without one. A lock of
another program is never waited for on the loop: such a block goes to the thread at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

ROWS_MAX: Final = 1024
"""A larger block is worth the hop: the thread writes it while the loop fills the next one."""
SLOW_NS: Final = 5_000_000
NS_PER_ROW: Final = 8_000
"""A write is slow that takes longer than `SLOW_NS` and twice what its rows take."""
STALL_NS: Final = 25_000_000
"""A write is a stall that takes longer than this and what its rows take. The thread's own waits
for the interpreter lock are shorter, so it can tell when the disk has recovered."""
PAUSE_NS: Final = 100_000_000
"""How long the thread takes over after a slow write; twice as long after each further one."""
PAUSE_MAX_NS: Final = 6_400_000_000


class WritePlacement:
    """Decides for each block.

    Args:
        ticks: nanoseconds since some moment; without it every block goes to the thread.
    """

    def __init__(self, ticks: Callable[[], int] | None) -> None:
        self._ticks = ticks
        self._pause = PAUSE_NS
        self._paused_until = 0
        self._started = 0
        self._allowed = 0
        self._stalled = False

    def starts_here(self, rows: int) -> bool:
        """Whether a block of this many rows may be written on the loop; then call `ended`."""
        if self._ticks is None or rows > ROWS_MAX:
            return False
        self._started = self._ticks()
        self._allowed = SLOW_NS + NS_PER_ROW * rows
        return not self._stalled and self._started >= self._paused_until

    def ended(self) -> None:
        """The block that was let through is written, or failed."""
        assert self._ticks is not None
        now = self._ticks()
        if now - self._started <= self._allowed:
            self._pause = PAUSE_NS
            return
        self._stalled = now - self._started > self._allowed + STALL_NS - SLOW_NS
        self._paused_until = now + self._pause
        self._pause = min(2 * self._pause, PAUSE_MAX_NS)

    def began(self) -> int:
        """A block is about to be written in the thread; for `ended_beside`."""
        return 0 if self._ticks is None else self._ticks()

    def ended_beside(self, rows: int, began: int) -> None:
        """A block of this many rows is written, or failed, in the thread."""
        if self._ticks is not None:
            self._stalled = self._ticks() - began > STALL_NS + NS_PER_ROW * rows
