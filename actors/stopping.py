"""What ends a process in order: signals, a part that failed, the end of its parent."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final

PARENT_S: Final = 0.5
"""How often a process that is not to outlive its parent looks for it."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Hears that the process is to end, and why; make it in a running loop.

    Attributes:
        told: done when it is to end, with an empty text if it was told to by somebody, else with
            what failed.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.told: asyncio.Future[str] = self._loop.create_future()

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
            self._loop.add_signal_handler(number, self.end, "")
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            self._loop.add_signal_handler(signal.SIGHUP, self.end, "")

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
