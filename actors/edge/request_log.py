"""At debug, a line for each request: verb, user, outcome, milliseconds.

It stands around the edge: a request comes in by `around`, under a number in place of its reply
subject, and its answer leaves by `send`, under that number. So every request that is answered is
told, whoever answers it, and at any other level nobody so much as asks whether it is to be told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from actors.edge.dispatch import CATALOG, Edge, Route
from actors.edge.parser import Deliver
from actors.runtime.request import Replies
from messages.refusals import clip

_MS: Final = 1_000_000
_OF_BATCH: Final = ("accepted", "duplicates", "rejected")

_log = structlog.get_logger(__name__)


class _Asked(NamedTuple):
    """A request that has no answer yet; ``since`` in nanoseconds."""

    reply_to: bytes
    verb: str
    user: str | None
    since: int


class _Error(msgspec.Struct):
    code: str


class _Reply(msgspec.Struct):
    """What of a reply says how it went; other fields are not looked at."""

    error: _Error | None = None
    duplicate: Any = False
    accepted: Any = None
    duplicates: Any = None
    rejected: Any = None


_decode: Final = msgspec.json.Decoder(_Reply).decode


class RequestLog:
    """Tells of requests, and hands their answers on. It is a `Replies`.

    Args:
        replies: where answers leave.
        ticks: nanoseconds, for measuring.
    """

    def __init__(self, replies: Replies, ticks: Callable[[], int]) -> None:
        self._replies = replies
        self._ticks = ticks
        self._asked: dict[bytes, _Asked] = {}  # each has its answer some time, so it is bounded
        self._count = 0

    def around(self, edge: Edge) -> Deliver:
        """What takes messages for an edge whose answers leave here."""

        def deliver(subject: bytes, reply_to: bytes, payload: bytes, headers: bytes) -> None:
            route = edge.route_of(subject)
            if route.silent and not reply_to:  # perhaps no request; it gets no answer
                edge.deliver(subject, reply_to, payload, headers)
                return
            before = route.tally.requests
            number = self.ask(route.verb, _who(route), reply_to)
            edge.deliver(subject, number, payload, headers)
            if route.tally.requests == before:  # what is no request is not counted
                self._asked.pop(number, None)

        return deliver

    def ask(self, verb: str, user: str | None, reply_to: bytes) -> bytes:
        """Note a request; the reply subject that it is to have from now on."""
        self._count += 1
        number = b"%d" % self._count
        self._asked[number] = _Asked(reply_to, clip(verb), user, self._ticks())
        return number

    def send(self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """See `Replies`."""
        asked = self._asked.pop(reply_to)
        if asked.reply_to:
            self._replies.send(asked.reply_to, payload, headers)
        ms = round((self._ticks() - asked.since) / _MS, 3)
        reply = _decode(payload)
        counts: dict[str, Any] = {}
        if reply.error is not None and headers is not None:
            outcome = reply.error.code
        else:
            outcome = "duplicate" if reply.duplicate is True else "ok"
            if reply.rejected is not None:
                counts = {name: getattr(reply, name) for name in _OF_BATCH}
        _tell(asked.verb, asked.user, outcome, ms, **counts)

    def now(self) -> int:
        """See `Replies`."""
        return self._replies.now()

    def refused(self, route: Route, code: str) -> None:
        """Tell of a request that was refused before the edge looked at it."""
        _tell(clip(route.verb), _who(route), code, 0.0)


def _tell(verb: str, user: str | None, outcome: str, ms: float, **counts: Any) -> None:
    about = {} if user is None else {"user": user}
    _log.debug("request", verb=verb, **about, outcome=outcome, ms=ms, **counts)


def _who(route: Route) -> str | None:
    """The user of a request; of an invalid token a part of it, None if nobody is named."""
    if route.wrong is None:
        return None if route.kind is CATALOG else route.user
    return clip(route.token) or None
