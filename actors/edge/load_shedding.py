"""Load shedding: under an overload, requests are let in by how long they have waited already.

Requests wait where the service does not see them: in the server and in the socket, where the
server ends the connection in the end. If what is read has waited long (see `actors.edge.age`),
all that is there is read at once into a queue of its own.

Until more than `waiting_max` wait together nothing is refused, however long it takes: that much
the contract promises. From then on, until a while after the last refusal, a request is refused
if it takes too long: the time in the queue, and until what is appended now is durable. Those
users are refused first who send so much that they are the reason. A refusal looks at nothing but
the subject and is made of ready bytes: a twentieth of a call, or it would be no relief.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from actors.edge.age import MS, Age, CommitTime, Connected, Log
from actors.edge.dispatch import OWN, Edge, Route
from actors.edge.parser import TURN_NS, Deliver, size_of
from messages.codec import encode_reply, error_headers
from messages.errors import ErrorReply, RequestError
from messages.units import to_datetime

AHEAD_NS: Final = 20 * MS
"""From this wait on, messages are read ahead of being handled."""
HOT_NS: Final = 30 * MS
"""From this time on, a request is refused if its user sends a large share of all."""
ALL_NS: Final = 80 * MS
"""From this time on, a request is refused."""
CALM_NS: Final = 1_000 * MS
"""This long after the last refusal the overload is over: nothing is refused by time."""
BYTES_MAX: Final = 64 * 1024 * 1024
"""What may wait together before any is refused, headers included."""
LOT: Final = 2_048
"""Requests in a row over which the users are counted."""
HOT_COUNT: Final = LOT // 16
"""A user with more of them is a cause of the overload."""
SLICE: Final = 2_048
"""Work per turn of the loop, so that commits and reads have their turns; a turn also ends after
`TURN_NS`, whatever is in it."""
AT_LEAST_NS: Final = 10 * MS
"""How long reading may come before handling."""
LEAST_NS: Final = 50 * MS
LEAST: Final = 64
"""If nothing was in time for `LEAST_NS`, `LEAST` requests are let in all the same: else a server
that is slow itself would have all refused for ever."""
HANDLED: Final = 16
"""How much of a slice a request takes that is let in; a refusal takes one."""
RETRY_AFTER_S: Final[tuple[float, ...]] = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
"""In turn, so that those who were refused together do not come back together."""
STAMP_MICROS: Final = 1_000
"""How old the time in a refusal may be: to write it anew for each takes half as long again."""

_SOME_MICROS: Final = 1_000_000_123_456
_SOME_TIME: Final = b"1970-01-12T13:46:40.123456"
"""A time in the text of a refusal, which takes as many bytes at any other time."""
_CODE: Final = "overloaded"
_WHY: Final = "not executed: too many requests wait"

_log = structlog.get_logger(__name__)


class Wire(Connected, Protocol):
    """What the load shedder needs of a connection."""

    def send_ready(self, reply_to: bytes, rest: bytes) -> None:
        """Send an answer whose bytes behind the subject are given."""

    def now(self) -> int:
        """What time it is, in microseconds."""
        ...


class _Shares:
    """Which users send a large share of all requests."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._counted = 0
        self._hot: set[str] = set()

    def count(self, token: str) -> bool:
        """Count a request; whether its user is a cause of the overload."""
        count = self._counts.get(token, 0) + 1
        self._counts[token] = count
        self._counted += 1
        if self._counted == LOT:
            self._hot = {user for user, sent in self._counts.items() if sent > HOT_COUNT}
            self._counts.clear()
            self._counted = 0
        return count > HOT_COUNT or token in self._hot

    def clear(self) -> None:
        """Begin anew."""
        self._counts.clear()
        self._counted = 0
        self._hot.clear()


class _Waiting:
    """A message that was read ahead; ``at`` is when it arrived, at the latest."""

    __slots__ = ("at", "headers", "payload", "reply_to", "subject")

    def __init__(
        self, at: int, subject: bytes, reply_to: bytes, payload: bytes, headers: bytes
    ) -> None:
        self.at = at
        self.subject = subject
        self.reply_to = reply_to
        self.payload = payload
        self.headers = headers


class LoadShedder:
    """Decides who takes what is read next: the edge, or the queue in front of it.

    Args:
        edge: takes what is let in.
        wire: the connection.
        log: tells when what is appended is durable.
        ticks: nanoseconds, for measuring.
        soon: has something called in the next turn of the loop.
        waiting: how many requests wait in the service.
        waiting_max: how many may wait together before any is refused.
        deliver: takes what is let in, if it is not the edge itself.
        on_refused: is told of each refusal and its code.

    Attributes:
        strict: whether an overload lasts: requests that take too long are refused.
    """

    def __init__(
        self,
        edge: Edge,
        wire: Wire,
        log: Log,
        ticks: Callable[[], int],
        soon: Callable[[Callable[[], None]], object],
        waiting: Callable[[], int],
        waiting_max: int,
        deliver: Deliver | None = None,
        on_refused: Callable[[Route, str], None] | None = None,
    ) -> None:
        self._edge = edge
        self._deliver: Deliver = deliver or edge.deliver
        self._on_refused = on_refused
        self._wire = wire
        self._age = Age(wire)
        self._commit = CommitTime(log)
        self._ticks = ticks
        self._soon = soon
        self._waiting = waiting
        self._waiting_max = waiting_max
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._room = waiting_max
        self._now = 0
        self._arrived = 0
        self._behind = False
        self._worked_at = 0
        self._granted_at = 0
        self._grant = 0
        self._working = False
        self._idle: asyncio.Event | None = None  # only while somebody waits for it
        self._refused_at = 0
        self._refused = 0
        self._shares = _Shares()
        self._unstamped = [_answer(seconds) for seconds in RETRY_AFTER_S]
        self._answers: list[bytes] = []
        self._stamped_at = 0
        self.strict = False

    @property
    def waiting(self) -> int:
        """How many messages wait in front of the edge."""
        return len(self._queue)

    def after_read(self, count: int) -> Deliver:  # noqa: ARG002 -- the type is After
        """Called after each read; returns who takes the messages of the next one."""
        now = self._ticks()
        waited = self._age.waited(now)
        self._now = now
        self._arrived = now - waited
        self._behind = waited >= AHEAD_NS
        self._room = self._waiting_max - self._waiting()
        if self._room <= 0:
            self._begin()
        if not self._queue and not self.strict and not self._behind:
            return self._deliver
        if self.strict and now - self._refused_at > CALM_NS:
            self._calm()
        return self.hold

    def hold(self, subject: bytes, reply_to: bytes, payload: bytes, headers: bytes) -> None:
        """Put a message into the queue, if there is room."""
        if len(self._queue) >= self._room or self._bytes > BYTES_MAX:
            self._begin()
            self._refuse(subject, reply_to)
            return
        self._queue.append(_Waiting(self._arrived, subject, reply_to, payload, headers))
        self._bytes += size_of(subject, reply_to, payload, headers)
        if not self._working:
            self._working = True
            self._soon(self._work)

    def close(self) -> None:
        """Hand what still waits to the edge, which answers it by now that the service stops."""
        while self._queue:
            held = self._take()
            self._deliver(held.subject, held.reply_to, held.payload, held.headers)

    async def emptied(self) -> None:
        """Wait until nothing waits in front of the edge."""
        while self._queue:
            self._idle = asyncio.Event()
            await self._idle.wait()
            self._idle = None

    def _work(self) -> None:
        """Handle or refuse some of the queue, in order."""
        now = self._ticks()
        if not self._behind or now - self._worked_at >= AT_LEAST_NS:
            self._worked_at = now
            if self.strict:
                self._sift(now)
            else:
                self._handle(now)
        elif self.strict:
            # Unread messages cannot be refused, and their users are not known.
            left = 0 if self._grant else SLICE
            while self._queue and left > 0 and now - self._queue[0].at > ALL_NS:
                held = self._take()
                self._refuse(held.subject, held.reply_to)
                left -= 1
        if self._queue:
            self._soon(self._work)
        else:
            self._working = False
            if self._idle is not None:
                self._idle.set()

    def _handle(self, now: int) -> None:
        left = SLICE
        while self._queue and left > 0 and self._ticks() - now <= TURN_NS:
            held = self._take()
            self._deliver(held.subject, held.reply_to, held.payload, held.headers)
            left -= HANDLED

    def _sift(self, now: int) -> None:
        """Let in or refuse some of the queue, in order."""
        arrived = now + self._commit.until_durable(now)
        if now - self._granted_at > LEAST_NS:
            self._granted_at = now
            self._grant = LEAST
        left = SLICE
        while self._queue and left > 0:
            held = self._take()
            if self._let_in(arrived - held.at, held.subject):
                self._granted_at = now
            elif self._grant > 0:
                self._grant -= 1
            else:
                self._refuse(held.subject, held.reply_to)
                left -= 1
                continue
            self._deliver(held.subject, held.reply_to, held.payload, held.headers)
            left -= HANDLED
            if self._ticks() - now > TURN_NS:
                return

    def _take(self) -> _Waiting:
        held = self._queue.popleft()
        self._bytes -= size_of(held.subject, held.reply_to, held.payload, held.headers)
        return held

    def _let_in(self, takes: int, subject: bytes) -> bool:
        """Whether a request that takes this long is let in; its user is counted."""
        hot = self._shares.count(self._edge.route_of(subject).token)
        return takes <= HOT_NS or (takes <= ALL_NS and not hot)

    def _refuse(self, subject: bytes, reply_to: bytes) -> None:
        route = self._edge.route_of(subject)
        if route.silent and (route.kind is OWN or not reply_to):
            return  # no request, as for the edge
        tally = route.tally
        tally.requests += 1
        tally.errors += 1
        tally.last_error = _WHY
        self._refused += 1
        self._refused_at = self._now
        if reply_to:
            now = self._wire.now()
            if not 0 <= now - self._stamped_at < STAMP_MICROS:
                self._stamp(now)
            self._wire.send_ready(reply_to, self._answers[self._refused % len(RETRY_AFTER_S)])
        if self._on_refused is not None:
            self._on_refused(route, _CODE)

    def _stamp(self, now: int) -> None:
        """Make the refusals of this moment."""
        text = to_datetime(now).isoformat(timespec="microseconds")[: len(_SOME_TIME)].encode()
        self._answers = [head + text + tail for head, tail in self._unstamped]
        self._stamped_at = now

    def _begin(self) -> None:
        if not self.strict:
            self.strict = True
            self._refused_at = self._now
            _log.warning("overload_begins", waiting=self._waiting() + len(self._queue))

    def _calm(self) -> None:
        _log.warning("overload_ends", refused=self._refused)
        self.strict = False
        self._refused = 0
        self._commit.forget()
        self._shares.clear()


def _answer(retry_after: float) -> tuple[bytes, bytes]:
    """A refusal, from behind the subject that it goes to: what is before its time and behind."""
    error = RequestError(_CODE, _WHY, retry_after=retry_after)
    payload = encode_reply(ErrorReply(error.body(None, to_datetime(_SOME_MICROS))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in error_headers(error).items())
    block = f"NATS/1.0\r\n{lines}\r\n".encode()
    whole = b" %d %d\r\n%b%b\r\n" % (len(block), len(block) + len(payload), block, payload)
    head, _, tail = whole.partition(_SOME_TIME)
    return head, tail
