"""Answers on their way out: straight to the transport, in as few pieces as possible.

The queue and the task of nats-py would cost each answer two more turns of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from nats.aio.transport import TcpTransport

from actors.clock import Clock, SystemClock
from actors.edge.repeated import Repeated
from messages.codec import encode_reply, error_headers
from messages.errors import ErrorReply, RequestError
from messages.refusals import clip
from messages.subjects import PREFIX
from messages.units import to_datetime

HEADERS_BYTES_MAX: Final = 1024
UNSENT_BYTES_MAX: Final = 1 << 20
"""If the transport has this much to send, more waits until nats-py has drained it."""
UNREAD_FROM_BYTES: Final = 32 << 20
"""If this many bytes of answers are unsent, nothing is read until the server has taken them."""
_UNDERSCORE: Final = 95
_OF_SERVER: Final = b"$"
"""What the subjects of the server itself begin with, in whatever JetStream domain."""
CONTROL_LINE_BYTES_MAX: Final = 4096
"""What a server takes by default; it ends the connection of whoever sends more."""
SURELY_SHORT: Final = CONTROL_LINE_BYTES_MAX - 40
"""A reply subject of at most this many bytes fits, with the verb, the sizes and the line's end."""

_log = structlog.get_logger(__name__)


def drop_unsent(client: Any) -> None:
    """Drop what a lost connection still has to send.

    nats-py closes it before it connects again, and a close waits until all is sent: to a server
    that takes nothing any more, until TCP gives up after a quarter of an hour.
    """
    if getattr(client, "is_reconnecting", False):
        socket = _socket(client)
        if socket is not None:
            socket.abort()


def _socket(client: Any) -> Any:
    """The transport of asyncio that a client writes to, None if it is of another kind."""
    transport = client._transport
    if type(transport) is not TcpTransport or transport._io_writer is None:
        return None
    return transport._io_writer.transport


class Refusal:
    """The reply subjects that are never answered, although a request names them.

    The server lets a caller name any reply subject, and the service may publish where callers
    may not: on a verb of another user, as an alert, to the stream. So an answer never goes
    where the service or the server itself takes orders.
    """

    def __init__(self, prefix: str) -> None:
        self._closed = (prefix.encode() + b".", _OF_SERVER)
        self._told = Repeated(_log.warning, "reply_subject_refused")

    def of(self, reply_to: bytes) -> bool:
        """Whether the subject is refused; the log says so at once, then how often by the minute."""
        if not reply_to.startswith(self._closed):
            return False
        self._told.note(subject=clip(repr(reply_to)))
        return True


def instead_of(payload: bytes, limit: int, now: int) -> tuple[bytes, dict[str, str]]:
    """The error to send, ``now``, instead of an answer that is too large for the server."""
    _log.error("reply_too_large", size=len(payload), limit=limit)
    why = RequestError("internal", "the reply is over the max_payload of the NATS server")
    return encode_reply(ErrorReply(why.body(None, to_datetime(now)))), error_headers(why)


def _open() -> bool:
    """Let answers leave: the default until `guard` is called."""
    return False


class Outgoing:
    """Hands answers to the transport, those of one read or one commit in one piece.

    Args:
        client: nats-py's client.
        prefix: what the subjects start with on which nobody is answered: see `Refusal`.
        clock: that of the service.
    """

    def __init__(self, client: Any, prefix: str = PREFIX, clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock or SystemClock()
        self._refusal = Refusal(prefix)
        # Inboxes begin with an underscore, and what is refused does not: one byte says so.
        self._surely_good = -1 if prefix.startswith("_") else _UNDERSCORE
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._unread_from = UNREAD_FROM_BYTES
        self._stands: Callable[[], bool] = _open
        self._undeliverable = Repeated(_log.warning, "reply_subject_too_long")

    @property
    def undeliverable(self) -> int:
        """How many answers were dropped because their reply subject was too long."""
        return self._undeliverable.count

    def send(self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Send one answer. Best effort: while the connection is down little is kept."""
        if reply_to[0] != self._surely_good and self._refusal.of(reply_to):
            return
        if len(payload) + HEADERS_BYTES_MAX > self._client._max_payload:
            payload, headers = instead_of(payload, self._client._max_payload, self.now())
        if headers is None:
            piece = b"PUB %b %d\r\n%b\r\n" % (reply_to, len(payload), payload)
        else:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            block = f"NATS/1.0\r\n{lines}\r\n".encode()
            sizes = (reply_to, len(block), len(block) + len(payload), block, payload)
            piece = b"HPUB %b %d %d\r\n%b%b\r\n" % sizes
        self._collect(reply_to, piece)

    def send_ready(self, reply_to: bytes, rest: bytes) -> None:
        """Send an answer with headers, whose bytes behind the subject are given."""
        if reply_to[0] != self._surely_good and self._refusal.of(reply_to):
            return
        self._collect(reply_to, b"HPUB %b%b" % (reply_to, rest))

    def _collect(self, reply_to: bytes, piece: bytes) -> None:
        if len(reply_to) > SURELY_SHORT and piece.index(b"\r\n") > CONTROL_LINE_BYTES_MAX:
            self._undeliverable.note(size=len(reply_to))
            return
        if not self._pieces:
            self._loop.call_soon(self.hand_over)  # if nobody does it before
        self._pieces.append(piece)

    def now(self) -> int:
        """See `Replies`."""
        return self._clock.now()

    def ping(self) -> asyncio.Future[bool] | None:
        """Send a PING; done when its answer is read. None if there is no connection."""
        client = self._client
        transport: Any = client._transport
        if not client.is_connected or transport is None:
            return None
        pong: asyncio.Future[bool] = self._loop.create_future()
        client._pongs.append(pong)
        transport.write(b"PING\r\n")
        return pong

    def hand_over(self) -> None:
        """Send what was collected, ahead of what the client is asked to send after this."""
        if not self._pieces or self._stands():
            return
        data = b"".join(self._pieces)
        self._pieces.clear()
        if not self._write(data):
            self._queue(data)

    def guard(self, stands: Callable[[], bool]) -> None:
        """Keep answers while this says True; then `hand_over` is to be called."""
        self._stands = stands

    def send_past(
        self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None
    ) -> None:
        """Send one answer past those that are kept."""
        kept, self._pieces = self._pieces, []
        self.send(reply_to, payload, headers)
        data = b"".join(self._pieces)
        self._pieces = kept
        if data:
            self._queue(data)

    def push(self) -> None:
        """Send all that was collected or given to the client, ahead of its next PING.

        The client writes a PING past what it still holds, so the PONG would not say that this
        has arrived. Raises what the transport raises.
        """
        self.hand_over()
        client = self._client
        if client._pending and client.is_connected:
            client._transport.writelines(client._pending)
            client._pending = []
            client._pending_data_size = 0

    def room(self) -> Awaitable[object] | None:
        """What to wait for before more requests are taken, None if little is unsent.

        Their answers would be kept without end while the server takes none.
        """
        client = self._client
        queue, flusher = client._flush_queue, client._flusher_task
        if client._pending_data_size <= self._unread_from or not client.is_connected:
            return None
        if flusher is None or flusher.done() or queue.full():
            return None  # the connection is lost, which the next read finds
        sent = self._loop.create_future()
        queue.put_nowait(sent)
        return asyncio.wait({sent, flusher}, return_when=asyncio.FIRST_COMPLETED)

    def _write(self, data: bytes) -> bool:
        """Give bytes to the transport; False if others are in front of them, or it is gone."""
        client = self._client
        if client._pending or not client.is_connected:
            return False
        socket = _socket(client)
        if (
            socket is None
            or socket.is_closing()
            or socket.get_write_buffer_size() > UNSENT_BYTES_MAX
        ):
            return False
        try:
            socket.write(data)
        except RuntimeError:  # uvloop's word for a connection that was lost in this turn
            return False
        return True

    def _queue(self, data: bytes) -> None:
        """Leave bytes to the client, for when the connection is free or there again."""
        client = self._client
        full = client._pending_data_size + len(data) > client._max_pending_size
        if full and not client.is_connected:
            _log.warning("replies_dropped", reason="not connected", bytes=len(data))
            return
        client._pending.append(data)
        client._pending_data_size += len(data)
        queue = client._flush_queue
        if queue.empty():
            queue.put_nowait(self._loop.create_future())
