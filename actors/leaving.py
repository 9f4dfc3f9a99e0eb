"""The first and the last of a process: what it stands on, and how it leaves at once.

It leaves so at a signal while nothing is open, and when no memory is left.

As Python has it, Ctrl-C while modules are imported is a traceback, or is lost in a callback of the
import system. This module is imported ahead of all others of ours, so it imports next to nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
"""The exit code after SIGINT, as shells have it; after other words to stop it is 0."""

_NO_MEMORY = b"meterd: no memory is left: a limit of the process, container or machine is reached\n"


def give_up() -> NoReturn:
    """End with code 1 and one line, as a crash: to drain, or to close, would take memory.

    What was acknowledged is durable; what was not is asked for again.
    """
    with suppress(OSError):
        os.write(2, _NO_MEMORY)
    os._exit(1)


def occupy_standard() -> None:
    """Have stdin, stdout and stderr lead to nowhere if the process was started without them.

    Else the next file that is opened has such a number: a line that a library writes to stderr
    then goes into the database, say, and uvloop aborts when it closes a socket of that number.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free: this one
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 -- as Python's own


def leave_at(*numbers: int) -> None:
    """End at once at these signals from now on; those that are ignored stay ignored."""
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _leave)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT is a `KeyboardInterrupt` in the block: there is something to be put in order."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED if number == signal.SIGINT else 0)
