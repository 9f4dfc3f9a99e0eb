"""How long the loop is held, in instructions of Python: the same number on every machine.

What C does for one instruction (a sort, a join) counts as one, so a test that measures growth
this way says nothing of those.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_RUN: Final[Any] = asyncio.Handle._run  # what the loop calls


class Turns:
    """The instructions of each callback of the loop.

    Attributes:
        longest: those of the longest one.
        total: those of all.
    """

    def __init__(self) -> None:
        self.longest = 0
        self.total = 0
        self._count = 0

    def measure(self, work: Callable[[], _T]) -> _T:
        """Run something, as a turn of its own."""
        self._count = 0
        sys.settrace(self._trace)
        try:
            return work()
        finally:
            sys.settrace(None)
            self.longest = max(self.longest, self._count)
            self.total += self._count

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            self._count += 1
        return self._trace


def instructions(work: Callable[[], object]) -> int:
    """How many instructions something takes."""
    turns = Turns()
    turns.measure(work)
    return turns.total


@contextmanager
def turns_of_the_loop() -> Iterator[Turns]:
    """Count the instructions of each callback that the loop runs meanwhile."""
    turns = Turns()

    def run(handle: asyncio.Handle) -> None:
        turns.measure(lambda: _RUN(handle))

    handles: Any = asyncio.Handle
    handles._run = run
    try:
        yield turns
    finally:
        handles._run = _RUN
