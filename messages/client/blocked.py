"""What keeps a request or its answer from arriving, however long the caller waits.

The server says a permission violation on the connection, not to the request that it is about,
and nats-py hands it to the callback for errors, in lower case. Here it is matched by subject.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from typing import Any, Final

import msgspec

from ..errors import AnswerBlocked, MeterdError, NotPermitted

_PUBLISH: Final = re.compile(r'permissions violation for publish to "([^"]+)"')
_SUBSCRIBE: Final = re.compile(r'permissions violation for subscription to "([^"]+)"')
_OF_STREAM: Final = (b'{"stream":', b'{"error":')
"""How an answer of JetStream begins; an error of meterd has a header, which this has not."""


class _PubAck(msgspec.Struct):
    stream: str


class Blocked:
    """Ends the waits of requests on one connection that its server refuses.

    Args:
        nc: a client of nats-py; of any other, nothing is seen.
    """

    def __init__(self, nc: Any) -> None:
        self._nc = weakref.ref(nc) if hasattr(nc, "_error_cb") else lambda: None
        self._waiting: dict[asyncio.Timeout, tuple[str, str]] = {}
        self._refused: set[asyncio.Timeout] = set()
        self._no_inbox_on = -1  # the number of reconnects of the connection that has no inbox

    def waits(self, scope: asyncio.Timeout, prefix: str, subject: str) -> None:
        """Note that a request is on its way; ``scope`` is the time that it has."""
        self._waiting[scope] = (prefix, subject)

    def done(self, scope: asyncio.Timeout) -> None:
        """Note that a request is over."""
        self._waiting.pop(scope, None)
        self._refused.discard(scope)

    def why(self, scope: asyncio.Timeout, event_id: str | None) -> MeterdError | None:
        """The error for a request whose time was ended from here, None if it was not."""
        _, subject = self._waiting[scope]
        if scope in self._refused:
            return NotPermitted(subject)
        if self.no_inbox:
            return AnswerBlocked(self._inbox_text(), event_id)
        return None

    def check(self) -> None:
        """Raise NotPermitted if it is known that no answer can be received."""
        if self._no_inbox_on >= 0 and self.no_inbox:
            raise NotPermitted(self._inbox(), self._inbox_text())

    @property
    def no_inbox(self) -> bool:
        """Whether the server does not let this connection listen for answers."""
        nc = self._nc()
        return nc is not None and self._no_inbox_on == nc.stats["reconnects"]

    def on_error(self, text: str) -> None:
        """Take what the server says on the connection."""
        text = text.lower()
        if found := _PUBLISH.search(text):
            self._end_publishes(found[1])
        elif (found := _SUBSCRIBE.search(text)) and found[1] == self._inbox().lower():
            nc = self._nc()
            assert nc is not None
            self._no_inbox_on = nc.stats["reconnects"]
            self._end(list(self._waiting))

    def _end_publishes(self, refused: str) -> None:
        found = {
            scope: subject
            for scope, (prefix, subject) in self._waiting.items()
            if _is(refused, prefix.lower(), subject.lower())
        }
        if len(set(found.values())) == 1:  # else they differ by case: it is not known which
            self._refused.update(found)
            self._end(list(found))

    def _end(self, scopes: list[asyncio.Timeout]) -> None:
        now = asyncio.get_running_loop().time()
        for scope in scopes:
            if not scope.expired():
                scope.reschedule(now)

    def _inbox(self) -> str:
        start = getattr(self._nc(), "_resp_sub_prefix", None)
        return f"{start.decode()}*" if start else ""

    def _inbox_text(self) -> str:
        return (
            f"the NATS server does not let this caller receive answers on {self._inbox()}: "
            "set the inbox prefix that its permissions have"
        )


_OF_CONNECTIONS: Final[weakref.WeakKeyDictionary[Any, Blocked]] = weakref.WeakKeyDictionary()


def blocked_of(nc: Any) -> Blocked:
    """What is seen of a connection: one for all callers that share it."""
    if not hasattr(nc, "_error_cb"):
        return Blocked(nc)
    found = _OF_CONNECTIONS.get(nc)
    if found is None:
        found = _OF_CONNECTIONS[nc] = Blocked(nc)
        _listen(nc, found)
    return found


def _listen(nc: Any, blocked: Blocked) -> None:
    told = nc._error_cb  # noqa: SLF001 -- nats-py tells nobody else

    async def on_error(error: Exception) -> None:
        blocked.on_error(str(error))
        await told(error)

    nc._error_cb = on_error  # noqa: SLF001 -- as above


def check_answer(data: bytes, subject: str, event_id: str | None) -> None:
    """Refuse an answer that a JetStream stream gave in place of meterd.

    Raises:
        AnswerBlocked: it is one; the message names the stream.
    """
    if not data.startswith(_OF_STREAM):
        return
    try:
        stream = msgspec.json.decode(data, type=_PubAck).stream
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    raise AnswerBlocked(
        f"the JetStream stream {stream} captures {subject} and answered in place of meterd, "
        "which may have executed the request: take the subject out of that stream",
        event_id,
    )


def _is(refused: str, prefix: str, subject: str) -> bool:
    """Whether a refused subject is that of a request, as sent or as the server maps it."""
    if refused == subject:
        return True
    rest = subject[len(prefix) + 1 :]
    start, end = f"{prefix}.p.", f".{rest}"
    partition = refused[len(start) : -len(end)]
    return refused.startswith(start) and refused.endswith(end) and partition.isdigit()
