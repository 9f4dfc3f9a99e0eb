"""Synchronous dispatch on nats-py's own connection.

nats-py queues each message for a task and awaits a callback for it, and any message that its
parser cannot decode (a subject with bytes that are no UTF-8, say) ends its read loop for good.
This parser takes its place on the connection: messages of the served subscription go straight
to a function, nothing that a client can send ends the loop, and answers go straight into the
outgoing buffer.

It uses private names of nats-py, so `supported` checks them, a contract test holds them, and
the plain subscription of `actors.edge.link` stays beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from nats.errors import ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

Deliver = Callable[[str, str, bytes, bytes], None]
"""Takes subject, reply subject, payload and the raw header block (empty without one)."""

_PRIVATE: Final = (
    "_pings_outstanding",
    "_pongs",
    "_ps",
    "_pending",
    "_pending_data_size",
    "_flush_queue",
    "_max_pending_size",
    "_process_msg",
    "_subs",
)

_log = structlog.get_logger(__name__)


def supported(client: Any) -> bool:
    """Whether the client has what this module builds on."""
    return all(hasattr(client, name) for name in _PRIVATE) and type(client._ps) is Parser


class InlineParser(Parser):
    """The protocol parser of a connection, with direct dispatch for one subscription."""

    def __init__(self, client: Any) -> None:
        self._rest = b""
        self._resets = 0
        self._served = b""
        self._deliver: Deliver | None = None
        super().__init__(client)

    @classmethod
    def install(cls, client: Any) -> InlineParser:
        """Put a parser in place of the client's own, between two reads of it."""
        parser = cls(client)
        assert client._ps.state == AWAITING_CONTROL_LINE
        parser._rest = bytes(client._ps.buf)
        client._ps = parser
        return parser

    def serve(self, sid: int, deliver: Deliver) -> None:
        """Hand the messages of subscription ``sid`` to ``deliver``, which must not raise."""
        self._served = str(sid).encode()
        self._deliver = deliver

    def reset(self) -> None:
        """Forget a half-read message: the connection was lost."""
        self._rest = b""
        self._resets += 1
        super().reset()

    async def parse(self, data: bytes = b"") -> None:
        """Take the next bytes of the connection."""
        data = self._rest + data if self._rest else data
        position, resets = 0, self._resets
        served, deliver = self._served, self._deliver
        while True:
            end = data.find(b"\r\n", position)
            if end < 0:
                break
            words = data[position:end].split(b" ")
            if words[0] != b"MSG" and words[0] != b"HMSG":
                await self._control(data[position : end + 2])
                if self._resets != resets:
                    return  # the connection was lost: what is left of it is of no use
                position = end + 2
                continue
            start = end + 2
            stop = start + int(words[-1])
            if len(data) < stop + 2:
                break
            position = stop + 2
            body, usual = start, 5  # words of a line with a reply subject
            if words[0] == b"HMSG":
                body, usual = start + int(words[-2]), 6
            reply = words[3] if len(words) == usual else b""
            if words[2] == served and deliver is not None:
                try:
                    subject, reply_to = words[1].decode(), reply.decode()
                except UnicodeDecodeError:
                    # What is no UTF-8 becomes surrogates, which no valid token has.
                    subject = words[1].decode("utf-8", "surrogateescape")
                    reply_to = reply.decode("utf-8", "surrogateescape")
                deliver(subject, reply_to, data[body:stop], data[start:body])
                continue
            await self._message(words[1], int(words[2]), reply, data[start:body], data[body:stop])
        self._rest = data[position:]

    async def _control(self, line: bytes) -> None:
        client: Any = self.nc
        if line.startswith(b"PONG") and client._pongs and client._pongs[0].done():
            # The flush that asked has given up. nats-py would set its result once more, fail,
            # and read no more from a connection that looks alive.
            client._pongs.pop(0)
            client._pings_outstanding = 0
            return
        try:
            await super().parse(line)
        except (ProtocolError, OSError):
            raise  # nats-py reconnects
        except Exception:  # noqa: BLE001 -- as for messages
            _log.exception("control_line_failed")
            super().reset()  # it may hold the line still

    async def _message(
        self, subject: bytes, sid: int, reply: bytes, headers: bytes, payload: bytes
    ) -> None:
        client: Any = self.nc
        try:
            await client._process_msg(sid, subject, reply, payload, headers)
        except Exception:  # noqa: BLE001 -- whatever it is, it must not end the read loop
            _log.exception("message_dropped", sid=sid)


class Outgoing:
    """Puts answers into the client's outgoing buffer; the flusher writes them in one piece."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def send(self, reply_to: str, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Send one answer. Best effort: while the connection is down little is kept."""
        client = self._client
        size = len(payload)
        if client._pending_data_size + size > client._max_pending_size and not client.is_connected:
            _log.warning("reply_dropped", reason="not connected")
            return
        # The bytes that came, whatever they are: the server took them once.
        subject = reply_to.encode("utf-8", "surrogateescape")
        if headers is None:
            command = b"PUB %b %d\r\n%b\r\n" % (subject, size, payload)
        else:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            block = f"NATS/1.0\r\n{lines}\r\n".encode()
            command = b"HPUB %b %d %d\r\n%b%b\r\n" % (
                subject,
                len(block),
                len(block) + size,
                block,
                payload,
            )
        client._pending.append(command)
        client._pending_data_size += len(command)
        queue = client._flush_queue
        if queue.empty():
            queue.put_nowait(asyncio.get_running_loop().create_future())
