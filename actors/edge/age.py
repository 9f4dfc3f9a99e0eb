"""How old what is read is, and how long a commit takes: what an overload is judged by.

The answer to a PING comes behind all that the server had for this connection, so what is read
while a PING is unanswered has waited at least since the PING was sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from persistence.writer import Waiter

MS: Final = 1_000_000
PROBE_NS: Final = 10 * MS
"""How often a PING is sent while there is something to read."""
PROBES_MAX: Final = 256
FAR_NS: Final = 1_000 * MS
"""The way to a server that was not measured yet."""
WAY_PROBES: Final = 16_384
"""The way is the shortest PING; if it grows, the estimate follows over this many PINGs."""


class Connected(Protocol):
    """A connection that can be asked for an answer to a PING."""

    @property
    def losses(self) -> int:
        """How often the connection was lost."""
        ...

    def ping(self) -> asyncio.Future[bool] | None:
        """Send a PING; done with its answer. None if there is no connection."""
        ...


class Log(Protocol):
    """What is needed of a `persistence.writer.Writer`."""

    accepting: bool
    next_seq: int

    def after(self, seq: int, waiter: Waiter) -> None:
        """Release the waiter when a position is durable."""


class Age:
    """Estimates how long what is read has waited, in nanoseconds.

    Args:
        connection: what is read from.
    """

    def __init__(self, connection: Connected) -> None:
        self._connection = connection
        self._losses = 0
        self._probes: deque[tuple[int, asyncio.Future[bool]]] = deque()  # since when, its answer
        self._probed_at = -PROBE_NS
        self._way_ns = FAR_NS

    def waited(self, now: int) -> int:
        """How long what is read now has waited, at least; sends a PING if it is time to."""
        probes = self._probes
        if self._connection.losses != self._losses:
            self._losses = self._connection.losses
            probes.clear()  # nobody will answer them
            self._way_ns = FAR_NS
        while probes and probes[0][1].done():
            took = now - probes.popleft()[0]
            self._way_ns = min(took, self._way_ns + (took - self._way_ns) // WAY_PROBES)
        if now - self._probed_at >= PROBE_NS and len(probes) < PROBES_MAX:
            self._probed_at = now
            pong = self._connection.ping()
            if pong is not None:
                probes.append((now, pong))
        return max(now - probes[0][0] - self._way_ns, 0) if probes else 0


class CommitTime:
    """Estimates how long it takes until what is appended now is durable, in nanoseconds.

    Args:
        log: what is appended to.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._mark: _Mark | None = None
        self._took_ns = 0

    def until_durable(self, now: int) -> int:
        """How long it takes, by what the last commit took, or the one under way has by now."""
        mark = self._mark
        if mark is not None and not mark.over:
            return max(now - mark.at, self._took_ns)
        if mark is not None:
            self._took_ns = now - mark.at
            self._mark = None
        if self._log.accepting:
            mark = _Mark(now)
            self._log.after(self._log.next_seq - 1, mark)
            if mark.over:
                self._took_ns = 0
            else:
                self._mark = mark
        return self._took_ns

    def forget(self) -> None:
        """Begin anew."""
        self._mark = None
        self._took_ns = 0


class _Mark:
    """A place in the log that is not durable yet."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.over = False

    def durable(self) -> None:
        self.over = True

    def lost(self, *, unknown: bool) -> None:  # noqa: ARG002 -- it is over, whatever came of it
        self.over = True
