"""A bare socket for messages of any bytes; what comes back is handed on as bytes."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

WAIT_S: Final = 20.0
INBOX: Final = b"_INBOX.fuzz"
OPTIONS: Final = b'{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}'

OnReply = Callable[[int, bytes, bytes], None]
"""Takes the number of the request, the header block and the body."""


class Closed(Exception):
    """The server closed the connection."""


class FuzzWire:
    """One connection, whose requests have numbers."""

    def __init__(self, url: str, on_reply: OnReply) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port), WAIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._on_reply = on_reply
        self._in = b""
        self._pongs = 0
        self.errors: list[bytes] = []
        self.send(b"CONNECT %b\r\nSUB %b.> 1\r\n" % (OPTIONS, INBOX))
        self.flush()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send the bytes as they are, and take what comes meanwhile."""
        rest = memoryview(data)
        while rest:
            readable, writable, _ = select.select([self._socket], [self._socket], [], WAIT_S)
            if readable:
                self._read()
            if writable:
                rest = rest[self._socket.send(rest) :]
            if not readable and not writable:
                raise TimeoutError("the server takes nothing")

    def wait(self, done: Callable[[], bool]) -> bool:
        """Read until ``done``; False if that takes too long."""
        deadline = time.monotonic() + WAIT_S
        while not done():
            readable, _, _ = select.select([self._socket], [], [], deadline - time.monotonic())
            if not readable:
                return False
            self._read()
        return True

    def flush(self) -> None:
        """Return when the server has handled all that was sent before."""
        wanted = self._pongs + 1
        self.send(b"PING\r\n")
        if not self.wait(lambda: self._pongs >= wanted):
            raise TimeoutError("no PONG")

    def _read(self) -> None:
        data = self._socket.recv(1 << 18)
        if not data:
            raise Closed(f"closed by the server: {self.errors}")
        data = self._in + data
        at, pings = 0, 0
        while (end := data.find(b"\r\n", at)) >= 0:
            if data.startswith((b"MSG ", b"HMSG "), at):
                after = end + 4 + int(data[data.rfind(b" ", at, end) : end])
                if after > len(data):
                    break
                self._take(data[at:end], data[end + 2 : after - 2])
                at = after
                continue
            line = data[at:end]
            self._pongs += line == b"PONG"
            pings += line == b"PING"
            if line.startswith(b"-ERR"):
                self.errors.append(line)
            at = end + 2
        self._in = data[at:]
        if pings:
            self._socket.send(b"PONG\r\n" * pings)

    def _take(self, line: bytes, payload: bytes) -> None:
        words = line.split(b" ")
        number = int(words[1].split(b".")[2])
        head = int(words[-2]) if words[0] == b"HMSG" else 0
        self._on_reply(number, payload[:head], payload[head:])
