"""A bare socket that speaks NATS, and a look at every reply."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

WAIT_S = 60.0


class LoadError(Exception):
    """What came back is not what was asked for."""


class Good(NamedTuple):
    """What every reply begins with and holds."""

    begins: bytes
    holds: bytes


ANY = Good(b"{", b"}")


class Wire:
    """One connection.

    Args:
        url: of the server.
        good: what every reply has to look like.
    """

    def __init__(self, url: str, good: Good = ANY) -> None:
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname, address.port), WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        options = b'{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}'
        self.socket.sendall(b"CONNECT %b\r\nSUB _INBOX.load.* 1\r\n" % options)
        self._good = good
        self._rest = b""
        self.replies = 0
        self.sample: dict[str, Any] = {}

    def run(self, requests: Iterator[bytes], seconds: float, window: int) -> float:
        """Keep ``window`` requests in flight for so long, or until there are no more.

        Returns:
            The replies a second.

        Raises:
            LoadError: an error, or no reply, came back.
        """
        before, start = self.replies, time.perf_counter()
        in_flight = self._send(requests, window)
        while time.perf_counter() - start < seconds and in_flight:
            done = self.receive()
            in_flight += self._send(requests, done) - done
        rate = (self.replies - before) / (time.perf_counter() - start)
        while in_flight:
            in_flight -= self.receive()
        return rate

    def receive(self, into: list[tuple[bytes, bytes]] | None = None) -> int:
        """Wait for bytes; return how many replies are complete with them.

        Args:
            into: takes the first line and the body of each.
        """
        data = self._rest + self.socket.recv(1 << 18)
        if len(data) == len(self._rest):
            raise LoadError("the server closed the connection")
        begins, holds = self._good
        at = count = 0
        body = b""
        while (end := data.find(b"\r\n", at)) >= 0:
            if data.startswith(b"MSG ", at):
                after = end + 4 + int(data[data.rfind(b" ", at, end) : end])
                if after > len(data):
                    break
                body = data[end + 2 : after - 2]
                if not body.startswith(begins) or holds not in body:
                    raise LoadError(body[:1000].decode(errors="replace"))
                if into is not None:
                    into.append((data[at:end], body))
                count += 1
                at = after
            elif data.startswith((b"HMSG", b"-ERR"), at):  # replies have no headers, errors do
                raise LoadError(data[at : at + 1000].decode(errors="replace"))
            else:
                if data.startswith(b"PING", at):
                    self.socket.sendall(b"PONG\r\n")
                at = end + 2
        self._rest = data[at:]
        self.replies += count
        if body:
            self.sample = json.loads(body)
        return count

    def _send(self, requests: Iterator[bytes], count: int) -> int:
        batch = list(itertools.islice(requests, count))
        self.socket.sendall(b"".join(batch))
        return len(batch)
