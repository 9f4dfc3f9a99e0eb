"""A NATS client on a bare socket: it sends any bytes, also those that a library would refuse.

Every wait is for bytes on the socket, with a deadline.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

WAIT_S = 60.0
"""Far longer than anything takes on a busy machine; only a test that fails waits so long."""
_INBOX_SID = "1"  # the first subscription


class ConnectionEndedError(Exception):
    """The server closed the connection; the message has what it said before."""


@dataclass(frozen=True)
class Message:
    """One message; ``status`` is the number of a status line, as 503 for no responders."""

    subject: str
    reply: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    status: str = ""

    def json(self) -> Any:
        return json.loads(self.body)


class RawClient:
    """One connection; requests get their replies on one inbox, told apart by a number."""

    def __init__(self, url: str, *, name: str = "raw") -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port), WAIT_S)
        self._socket.setblocking(False)
        self._in = bytearray()
        self._pongs = 0
        self._pings = 0
        self._pongs_due = 0
        self._sids = 0
        self._ended = False
        self.errors: list[str] = []
        self.replies: dict[int, list[Message]] = {}
        self.messages: deque[Message] = deque()
        self._inbox = f"_INBOX.{name}{self._socket.getsockname()[1]}"
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
        self.send(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
        self.subscribe(f"{self._inbox}.*")
        self._requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send the bytes as they are; what arrives meanwhile is kept."""
        rest = memoryview(data)
        deadline = time.monotonic() + WAIT_S
        while rest:
            readable, writable = self._select(deadline, write=True)
            if readable:
                self._read()
            if writable:
                try:
                    rest = rest[self._socket.send(rest) :]
                except OSError as error:
                    raise ConnectionEndedError(f"{error}; {self.errors}") from error

    def subscribe(self, subject: str, queue: str = "") -> None:
        """Subscribe, and return when the server has done it."""
        self._sids += 1
        self.send(f"SUB {subject} {queue} {self._sids}\r\n".encode())
        self.flush()

    def publish(
        self,
        subject: str,
        body: bytes | Mapping[str, Any] = b"",
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send(encode(subject, body, reply=reply, headers=headers))

    def post(
        self,
        subject: str,
        body: bytes | Mapping[str, Any] = b"",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Send a request and return its number without waiting for the reply."""
        number, reply = self.reply_subject()
        self.publish(subject, body, reply=reply, headers=headers)
        return number

    def reply_subject(self) -> tuple[int, str]:
        """A fresh request number and where its reply has to go."""
        self._requests += 1
        return self._requests, f"{self._inbox}.{self._requests}"

    def request(
        self,
        subject: str,
        body: bytes | Mapping[str, Any] = b"",
        *,
        headers: Mapping[str, str] | None = None,
        wait_s: float = WAIT_S,
    ) -> Message:
        """Send a request and wait for its reply."""
        return self.reply(self.post(subject, body, headers=headers), wait_s)

    def reply(self, number: int, wait_s: float = WAIT_S) -> Message:
        """The first reply to the request of that number."""
        self.wait_until(lambda: number in self.replies, wait_s)
        return self.replies[number][0]

    def collect(self, count: int, wait_s: float = WAIT_S) -> None:
        """Wait until ``count`` requests have been answered."""
        self.wait_until(lambda: len(self.replies) >= count, wait_s)

    def next_message(self, wait_s: float = WAIT_S) -> Message:
        """The oldest message of the other subscriptions that was not taken yet."""
        self.wait_until(lambda: bool(self.messages), wait_s)
        return self.messages.popleft()

    def flush(self, wait_s: float = WAIT_S) -> None:
        """Return when the server has handled all that was sent before."""
        self._pings += 1
        wanted = self._pings
        self.send(b"PING\r\n")
        self.wait_until(lambda: self._pongs >= wanted, wait_s)

    def wait_end(self, wait_s: float = WAIT_S) -> list[str]:
        """Wait until the server has closed the connection; return its ``-ERR`` lines."""
        try:
            self.wait_until(lambda: False, wait_s)
        except ConnectionEndedError:
            return self.errors
        raise AssertionError("unreachable")

    def wait_until(self, done: Callable[[], bool], wait_s: float = WAIT_S) -> None:
        """Read from the socket until ``done``; TimeoutError if that takes too long."""
        deadline = time.monotonic() + wait_s
        while not done():
            if self._ended:
                raise ConnectionEndedError(f"closed by the server; {self.errors}")
            self._select(deadline, write=False)
            self._read()
            self._answer_pings()

    def _answer_pings(self) -> None:
        if self._pongs_due:  # not while reading: that may be in the middle of a send
            due, self._pongs_due = self._pongs_due, 0
            self.send(b"PONG\r\n" * due)

    def _select(self, deadline: float, *, write: bool) -> tuple[bool, bool]:
        left = deadline - time.monotonic()
        readers = [] if self._ended else [self._socket]
        writers = [self._socket] if write else []
        readable, writable, _ = select.select(readers, writers, [], max(left, 0))
        if not readable and not writable:
            raise TimeoutError(f"nothing in time; {len(self.replies)} answered; {self.errors}")
        return bool(readable), bool(writable)

    def _read(self) -> None:
        try:
            data = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self._ended = not data
        self._in += data
        at = 0
        while (taken := self._parse(at)) > at:
            at = taken
        del self._in[:at]

    def _parse(self, at: int) -> int:
        """Handle one operation at ``at``; return where the next begins, ``at`` if it is cut."""
        end = self._in.find(b"\r\n", at)
        if end < 0:
            return at
        line = self._in[at:end].decode()
        name, _, rest = line.partition(" ")
        if name in ("MSG", "HMSG"):
            size = int(rest.rsplit(" ", 1)[1])
            if len(self._in) < end + 2 + size + 2:
                return at
            self._deliver(name, rest.split(" "), bytes(self._in[end + 2 : end + 2 + size]))
            return end + 2 + size + 2
        if name == "PONG":
            self._pongs += 1
        elif name == "PING":
            self._pongs_due += 1
        elif name == "-ERR":
            self.errors.append(rest)
        return end + 2

    def _deliver(self, name: str, fields: list[str], payload: bytes) -> None:
        sizes = 2 if name == "HMSG" else 1
        subject, sid, *reply = fields[:-sizes]
        head_size = int(fields[-2]) if name == "HMSG" else 0
        status, headers = _parse_headers(payload[:head_size])
        message = Message(subject, reply[0] if reply else "", payload[head_size:], headers, status)
        if sid == _INBOX_SID:
            number = int(subject.rsplit(".", 1)[1])
            self.replies.setdefault(number, []).append(message)
        else:
            self.messages.append(message)


def encode(
    subject: str,
    body: bytes | Mapping[str, Any] = b"",
    *,
    reply: str = "",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of one publish; a mapping is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    if headers is None:
        return b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), len(data), data)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"NATS/1.0\r\n{lines}\r\n".encode()
    sizes = b"%d %d" % (len(head), len(head) + len(data))
    return b"HPUB %b %b %b\r\n%b%b\r\n" % (subject.encode(), reply.encode(), sizes, head, data)


def _parse_headers(head: bytes) -> tuple[str, dict[str, str]]:
    if not head:
        return "", {}
    first, *lines = head.decode().split("\r\n")
    pairs = (line.split(":", 1) for line in lines if line)
    return first.removeprefix("NATS/1.0").strip()[:3], {k: v.strip() for k, v in pairs}
