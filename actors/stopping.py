"""What ends a process in order: signals, a part that failed, the end of its parent."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, Final

PARENT_S: Final = 0.5
"""How often a process that is not to outlive its parent looks for it."""
AGAIN_S: Final = 10.0
"""After what time a start that was told to end is told once more: on Python 3.11 a library may
swallow it. It is more than a part takes to put itself in order."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Hears that the process is to end, and why; make it in a running loop.

    Attributes:
        told: done when it is to end, with an empty text if it was told to by somebody, else with
            what failed.
        by: the signal that told, 0 if none did.
        has_started: whether the start was done before that.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.told: asyncio.Future[str] = self._loop.create_future()
        self.by = 0
        self.has_started = False

    def end(self, why: str) -> None:
        """Have the process end; only the first reason counts."""
        if not self.told.done():
            self.told.set_result(why)

    def listen(self) -> None:
        """Take SIGTERM and SIGINT for the word to stop, and SIGHUP: the terminal was closed.

        A SIGHUP that is ignored stays so: whoever starts a process with ``nohup`` wants it to
        outlive the terminal.
        """
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._signalled, number)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            self._loop.add_signal_handler(signal.SIGHUP, self._signalled, signal.SIGHUP)

    def follow(self, parent: int) -> None:
        """End, as if told to, when the process with this id is not the parent any more.

        A supervisor that starts others in sessions of their own (honcho does) leaves them to
        themselves when it is killed: no signal of the terminal reaches them. To look is all
        that every system can do; Linux alone would send a signal.
        """
        if os.getppid() != parent:
            self.end("")
        else:
            self._loop.call_later(PARENT_S, self.follow, parent)

    async def spared(self, starting: Coroutine[Any, Any, None]) -> None:
        """Await a start, which ends if the process is told to end before it is done.

        Raises:
            Exception: whatever the start raises, unless somebody told: then nobody asks.
        """
        task = asyncio.ensure_future(starting)
        either: set[asyncio.Future[Any]] = {task, self.told}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=AGAIN_S)
        if task.cancelled():
            return
        error = task.exception()
        self.has_started = error is None
        if error is not None and not (self.told.done() and not self.told.result()):
            raise error

    def _signalled(self, number: int) -> None:
        if not self.told.done():
            self.by = number
        self.end("")
