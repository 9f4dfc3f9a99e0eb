"""Synchronous dispatch on nats-py's own connection.

nats-py queues each message for a task and awaits a callback for it, and any message that its
parser cannot decode (a subject with bytes that are no UTF-8, say) ends its read loop for good.
This parser takes its place on the connection: messages of the served subscription go straight
to a function, nothing that a client can send ends the loop, and answers go straight to the
transport: its own queue and task would cost each answer two more turns of the event loop, and
in a busy service a turn waits for a commit.

A read has up to 32 KiB, which may be a hundred small requests or a dozen that take milliseconds
each. So after some milliseconds the rest of it waits for the next turn of the loop, as if it had
come with the next read.

It uses private names of nats-py, so `supported` checks them, a contract test holds them, and
the plain subscription of `actors.edge.connection` stays beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from nats.errors import ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from actors.clock import SystemClock
from actors.edge.outgoing import drop_unsent
from actors.edge.repeated import Repeated
from persistence.exhaustion import tell_if_exhausted

Deliver = Callable[[bytes, bytes, bytes, bytes], None]
"""Takes subject, reply subject (empty without one), payload and raw header block (as well)."""
After = Callable[[int], Deliver]
"""Called after each read with its number of messages; returns who takes those of the next."""
Room = Callable[[], Awaitable[object] | None]
"""What to await before the next read, None if there is room for its answers."""

Guard = Callable[[Deliver], Deliver]
"""Called ahead of each read with who takes its messages; returns who does."""

_PRIVATE: Final = (
    "_pings_outstanding",
    "_pongs",
    "_ps",
    "_pending",
    "_pending_data_size",
    "_flush_queue",
    "_flusher_task",
    "_max_payload",
    "_max_pending_size",
    "_process_msg",
    "_subs",
    "_transport",
)

TURN_NS: Final = 4_000_000
"""So long a read may keep the loop; then others have their turn."""
LOOK_BYTES: Final = 2_048
"""After messages of this many bytes the clock is looked at."""
MESSAGE_BYTES: Final = 64
"""What a message counts beside its payload."""
_NOTHING_SERVED: Final = b"-"  # not the id of any subscription

_log = structlog.get_logger(__name__)


def size_of(subject: bytes, reply_to: bytes, payload: bytes, headers: bytes) -> int:
    """What a message takes where it waits."""
    return len(subject) + len(reply_to) + len(payload) + len(headers)


def _ignore(subject: bytes, reply_to: bytes, payload: bytes, headers: bytes) -> None:
    """Drop a message: the default until `serve` is called."""


def _the_same(count: int) -> Deliver:  # noqa: ARG001 -- the type is After
    """Keep dropping messages after a read: the default until `serve` is called."""
    return _ignore


def _enough() -> Awaitable[object] | None:
    """Wait for nothing before the next read: the default until `serve` is called."""
    return None


def _anyone(deliver: Deliver) -> Deliver:
    """Let messages through: the default until `guard` is called."""
    return deliver


def supported(client: Any) -> bool:
    """Whether the client has what this module builds on."""
    return all(hasattr(client, name) for name in _PRIVATE) and type(client._ps) is Parser


class InlineParser(Parser):
    """The protocol parser of a connection, with direct dispatch for one subscription."""

    def __init__(self, client: Any) -> None:
        self._rest = b""
        self._resets = 0
        self._served = _NOTHING_SERVED
        self._deliver: Deliver = _ignore
        self._after: After = _the_same
        self._room: Room = _enough
        self._ticks: Callable[[], int] = SystemClock().ticks
        self._guard: Guard = _anyone
        self._dropped = Repeated(_log.error, "message_dropped")
        self._failed = Repeated(_log.error, "control_line_failed")
        super().__init__(client)

    @classmethod
    def install(cls, client: Any) -> InlineParser:
        """Put a parser in place of the client's own, between two reads of it."""
        parser = cls(client)
        assert client._ps.state == AWAITING_CONTROL_LINE
        parser._rest = bytes(client._ps.buf)
        client._ps = parser
        return parser

    @property
    def losses(self) -> int:
        """How often the connection was lost."""
        return self._resets

    def serve(self, sid: int, deliver: Deliver, after: After, room: Room = _enough) -> None:
        """Hand the messages of subscription ``sid`` to ``deliver``, then to whom ``after`` says.

        None of them may raise. The next read waits for what ``room`` gives, until that is None.
        """
        self._served = str(sid).encode()
        self._deliver = deliver
        self._after = after
        self._room = room

    def guard(self, guard: Guard) -> None:
        """Ask this ahead of each read who takes its messages; it must not raise."""
        self._guard = guard

    def reset(self) -> None:
        """Forget a half-read message: the connection was lost."""
        self._rest = b""
        self._resets += 1
        super().reset()
        drop_unsent(self.nc)

    async def parse(self, data: bytes = b"") -> None:
        """Take the next bytes of the connection."""
        data = self._rest + data if self._rest else data
        position, count, resets = 0, 0, self._resets
        served, deliver = self._served, self._guard(self._deliver)
        weight, begun = 0, self._ticks()
        while self._resets == resets:
            if weight > LOOK_BYTES:
                weight = 0
                if self._ticks() - begun > TURN_NS:
                    await self._end_turn(count)
                    count, begun, deliver = 0, self._ticks(), self._guard(self._deliver)
                    continue
            end = data.find(b"\r\n", position)
            if end < 0:
                break
            words = data[position:end].split(b" ")
            if len(words) == 5 and words[2] == served and words[0] == b"MSG":  # nearly always
                start = end + 2
                stop = start + int(words[4])
                if len(data) < stop + 2:
                    break
                position = stop + 2
                count += 1
                weight += stop - end + MESSAGE_BYTES
                deliver(words[1], words[3], data[start:stop], b"")
                continue
            if words[0] != b"MSG" and words[0] != b"HMSG":
                await self._control(data[position : end + 2])
                position = end + 2
                continue
            start = end + 2
            stop = start + int(words[-1])
            if len(data) < stop + 2:
                break
            position = stop + 2
            headed = words[0] == b"HMSG"  # which has one word more
            body = start + int(words[-2]) if headed else start
            reply = words[3] if len(words) == 5 + headed else b""
            if words[2] == served:
                count += 1
                weight += stop - end + MESSAGE_BYTES
                deliver(words[1], reply, data[body:stop], data[start:body])
                continue
            await self._message(words[1], int(words[2]), reply, data[start:body], data[body:stop])
        await self._end(data[position:], count, resets)

    def renew(self) -> None:
        """Ask anew who takes the messages of the next read, as behind a read of none."""
        self._deliver = self._after(0)

    async def _end(self, rest: bytes, count: int, resets: int) -> None:
        """End a read; ``rest`` is what begins the next one."""
        if self._resets != resets:
            return  # the connection was lost: the rest of its bytes is useless
        self._rest = rest
        self._deliver = self._after(count)
        while (room := self._room()) is not None:
            await room

    async def _end_turn(self, count: int) -> None:
        """Let others have their turn in the midst of a read, as if it ended here."""
        self._deliver = self._after(count)
        await asyncio.sleep(0)
        while (room := self._room()) is not None:
            await room

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
        except Exception as error:  # noqa: BLE001 -- as for messages
            tell_if_exhausted(error)
            self._failed.note(exc_info=True)
            super().reset()  # it may hold the line still

    async def _message(
        self, subject: bytes, sid: int, reply: bytes, headers: bytes, payload: bytes
    ) -> None:
        client: Any = self.nc
        try:
            await client._process_msg(sid, subject, reply, payload, headers)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it must not end the read loop
            tell_if_exhausted(error)
            self._dropped.note(sid=sid, exc_info=True)
