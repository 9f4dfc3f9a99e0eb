"""An event loop whose time is counted and never waited for, and a clock that shows it.

Nothing in it depends on the machine: the same program makes the same steps at the same times.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from messages.units import MICROS_PER_SECOND
from tests.support.rig import SetClock

STEPS_MAX: Final = 2_000_000
"""Turns of a loop after which what runs in it will never come to an end."""
TICK: Final = MICROS_PER_SECOND
"""The clock shows whole seconds, so that most requests begin and end at one time."""

_T = TypeVar("_T")
_P = ParamSpec("_P")


class Stuck(Exception):
    """Everything waits, and nothing is left that could happen; or there is no end to it."""


class _Jumps(selectors.SelectSelector):
    """Instead of waiting it lets time pass; it looks at no file."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.steps = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.steps += 1
        if timeout is None or self.steps > STEPS_MAX:
            raise Stuck("everything waits for something that never comes")
        if timeout > 0:
            self.seconds += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module's docstring."""

    def __init__(self) -> None:
        self._jumps = _Jumps()
        super().__init__(self._jumps)
        # Of a time in years a float has no nanoseconds left.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._jumps.seconds


class TickingClock(SetClock):
    """The clock of the machine: it runs with the loop, and may be set."""

    def now(self) -> int:
        return self.at + self.elapsed()

    def elapsed(self) -> int:
        passed = int(asyncio.get_running_loop().time() * MICROS_PER_SECOND)
        return passed // TICK * TICK


def in_virtual_time(make: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run something to its end in a loop of its own, whatever time it takes there."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(make())


def virtual(test: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """A test that runs in virtual time: what it waits for has come in time on any machine."""

    @wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        in_virtual_time(lambda: test(*args, **kwargs))

    return run
