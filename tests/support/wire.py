"""A NATS client that signs in with an nkey over TLS, plainly or by WebSocket, and sees refusals.

It blocks, and tells what the server refuses from what nobody answers: after each step it waits
for the answer to a PING, in front of which a refusal comes.
"""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import nkeys

WAIT_S = 60.0
_BINARY, _CLOSE = 0x2, 0x8
_TOO_SLOW = "Authentication Timeout"
"""What a server says that gives a second to sign in: a busy machine may need longer."""


class RefusedError(Exception):
    """The server does not let the connection be."""


@dataclass(frozen=True)
class Message:
    """What arrived; ``status`` is a number such as 503 for nobody there."""

    subject: str
    body: bytes
    status: str = ""

    def json(self) -> Any:
        return json.loads(self.body)


class Key:
    """An nkey of a user."""

    def __init__(self) -> None:
        self.seed: bytes = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        public: Any = nkeys.from_seed(bytearray(self.seed)).public_key  # bytes, whatever it says
        self.public: str = public.decode()

    def sign(self, nonce: str) -> str:
        signed = nkeys.from_seed(bytearray(self.seed)).sign(nonce.encode())
        return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()


class Wire:
    """One connection, signed in.

    Raises:
        RefusedError: the server ended it; the message is what it said.
    """

    def __init__(
        self, port: int, trust: ssl.SSLContext, key: Key | None, inbox: str, *, origin: str = ""
    ) -> None:
        self.inbox = inbox
        self._numbers = 0
        self._errors: list[str] = []
        self._messages: list[Message] = []
        self._websocket = bool(origin)
        self._in: BinaryIO | None = None
        while not self._came_in(port, trust, key, origin):
            pass

    def _came_in(self, port: int, trust: ssl.SSLContext, key: Key | None, origin: str) -> bool:
        """Sign in; False if that took so long that it is to be tried again."""
        plain = socket.create_connection(("127.0.0.1", port), WAIT_S)
        try:
            info = b"" if origin else _line_of(plain)
            self._socket = trust.wrap_socket(plain, server_hostname="localhost")
            self._sign_in(info, key, origin)
        except BaseException as error:
            self.close()
            plain.close()
            if isinstance(error, RefusedError) and _TOO_SLOW in str(error):
                return False
            raise
        return True

    def _sign_in(self, info: bytes, key: Key | None, origin: str) -> None:
        self._in = self._socket.makefile("rb")
        if origin:
            self._upgrade(origin)
            info = self._reader.readline()
        nonce = json.loads(info.removeprefix(b"INFO ")).get("nonce", "")
        options: dict[str, Any] = {"verbose": False, "headers": True, "no_responders": True}
        if key is not None:
            options |= {"nkey": key.public, "sig": key.sign(nonce)}
        self._send(b"CONNECT " + json.dumps(options).encode() + b"\r\n")
        refused = self._settle() or self.subscribe(f"{self.inbox}.>")
        if refused:
            raise RefusedError(refused)

    @property
    def _reader(self) -> BinaryIO:
        assert self._in is not None
        return self._in

    def close(self) -> None:
        if self._in is not None:
            self._in.close()
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def subscribe(self, subject: str) -> str:
        """Subscribe; what the server says if it refuses, else empty."""
        self._numbers += 1
        self._send(f"SUB {subject} {self._numbers}\r\n".encode())
        return self._settle()

    def publish(self, subject: str, body: object = None, *, reply: str = "") -> str:
        """Publish; what the server says if it refuses, else empty."""
        data = b"" if body is None else json.dumps(body).encode()
        self._send(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")
        return self._settle()

    def request(self, subject: str, body: object = None) -> Message | None:
        """Send a request and wait for its answer; None if the server refuses it."""
        self._numbers += 1
        reply = f"{self.inbox}.{self._numbers}"
        if self.publish(subject, body, reply=reply):
            return None
        return self.wait(reply)

    def wait(self, subject: str) -> Message:
        """The next message on a subject; those on others are kept."""
        while True:
            for message in self._messages:
                if message.subject == subject:
                    self._messages.remove(message)
                    return message
            self._read()

    def arrived(self) -> list[Message]:
        """All that has arrived and nobody waited for."""
        self._settle()
        return list(self._messages)

    def _settle(self) -> str:
        """Wait until the server has done all that was sent; what it refused of it."""
        self._errors.clear()
        self._send(b"PING\r\n")
        while self._read() != b"PONG":
            pass
        return "; ".join(self._errors)

    def _read(self) -> bytes:
        """Take one operation; its name."""
        line = self._reader.readline()
        if not line:
            raise RefusedError("; ".join(self._errors) or "closed without a word")
        name, _, rest = line.rstrip(b"\r\n").partition(b" ")
        if name in (b"MSG", b"HMSG"):
            words = rest.decode().split(" ")
            head = int(words[-2]) if name == b"HMSG" else 0
            data = self._reader.read(int(words[-1]) + 2)[:-2]
            status = data[9:12].decode() if data[:head].startswith(b"NATS/1.0 ") else ""
            self._messages.append(Message(words[0], data[head:], status))
        elif name == b"-ERR":
            self._errors.append(rest.decode())
        elif name == b"PING":
            self._send(b"PONG\r\n")
        return name

    def _send(self, data: bytes) -> None:
        self._socket.sendall(_frame(data) if self._websocket else data)

    def _upgrade(self, origin: str) -> None:
        head = "\r\n".join(
            [
                "GET / HTTP/1.1",
                "Host: localhost",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
                f"Origin: {origin}",
            ]
        )
        self._socket.sendall(head.encode() + b"\r\n\r\n")
        status = self._reader.readline()
        while self._reader.readline().strip():
            pass
        if b" 101 " not in status:
            raise RefusedError(status.decode().strip())
        self._in = cast("BinaryIO", io.BufferedReader(_Frames(self._reader)))


class _Frames(io.RawIOBase):
    """What frames of WebSocket hold, as one stream."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._left = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            head = self._source.read(2)
            if len(head) < 2 or head[0] & 0xF == _CLOSE:
                return 0
            self._left = head[1] & 0x7F
            if self._left > 125:
                self._left = int.from_bytes(self._source.read(2 if self._left == 126 else 8))
        data = self._source.read(min(self._left, len(buffer)))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


def _frame(data: bytes) -> bytes:
    """A frame of a client; masked with zeros, its payload is what it was."""
    size = len(data)
    if size < 126:
        head = bytes([0x80 | _BINARY, 0x80 | size])
    else:
        head = bytes([0x80 | _BINARY, 0x80 | 127]) + size.to_bytes(8)
    return head + bytes(4) + data


def _line_of(plain: socket.socket) -> bytes:
    """The first line, and not a byte more: what follows belongs to TLS."""
    line = bytearray()
    while not line.endswith(b"\r\n"):
        byte = plain.recv(1)
        if not byte:
            raise RefusedError("closed before its first line")
        line += byte
    return bytes(line)
