"""One connection of a load: blocks of ready requests, their answers counted by their bytes.

To look at each answer would take longer than the service takes to give it. So one request of a
block is timed, and of the others only the number is known: of each verb, answered and refused.
"""

from __future__ import annotations

import random
import re
import socket
import time
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from messages.subjects import PREFIX

BLOCK: Final = 32
BLOCKS: Final = 64
"""Different ones, which come again and again; without a key each `track` is a new call."""
BODIES: Final = {
    "track": b'{"provider":"openai","model_used":"gpt-4o-mini","tokens_input":374,'
    b'"tokens_output":44,"endpoint":"/v1/chat/completions","status_code":200}',
    "enforce": b'{"provider":"gemini","model_used":"gemini-2.5-flash","tokens_requested":1200}',
    "hold": b'{"provider":"gemini","tokens_requested":10,"ttl":1}',
}
MIX: Final = (("track", 6), ("enforce", 3), ("hold", 1))
REFUSED: Final = b"HMSG "
_TIMED: Final = re.compile(rb"(H?)MSG _INBOX\.\w+\.t(\w)(\d+) ")
HOT: Final = "hot"


class Timed(NamedTuple):
    """One request that was timed, in seconds."""

    hot: bool
    due: float
    took: float
    refused: bool


class Caller:
    """One connection.

    Args:
        url: of the server.
        name: of its inbox, without a dot.
        users: over how many users its requests go.
        hot: which share of them goes to the one hot user.

    Attributes:
        sent: requests by now, those that wait in `held` included.
        answered: of each verb, how many were answered, refusals included; likewise `refused`.
        timed: what was timed and is answered.
    """

    def __init__(self, url: str, name: str, users: int, hot: float, seed: int) -> None:
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname, address.port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        options = b'{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}'
        inbox = b"_INBOX.%b" % name.encode()
        self.socket.sendall(b"CONNECT %b\r\nSUB %b.* 1\r\nPING\r\n" % (options, inbox))
        while not self.socket.recv(1 << 16).endswith(b"PONG\r\n"):
            pass
        self.socket.setblocking(False)
        self._inbox = inbox
        rng = random.Random(seed)
        self._blocks = [_block(rng, inbox, users, hot) for _ in range(BLOCKS)]
        self._subjects = [_subject(rng, "track", users, hot) for _ in range(BLOCKS)]
        self._marks = [
            (verb, b"MSG %b.%b " % (inbox, verb[:1].encode())) for verb in (*BODIES, "timed")
        ]
        self._marks[-1] = ("timed", b"MSG %b.t" % inbox)
        self._marks[0] = ("track", b"MSG %b.a " % inbox)
        self._due: dict[int, tuple[bool, float]] = {}
        self._numbers = 0
        self._rest = b""
        self.held: memoryview | None = None
        self.sent = 0
        self.sent_to = {"track": 0, "hot": 0}
        self.answered = dict.fromkeys([*BODIES, "timed"], 0)
        self.refused = dict.fromkeys([*BODIES, "timed"], 0)
        self.timed: list[Timed] = []
        self.ended = False

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return self.sent - sum(self.answered.values())

    def offer(self, now: float) -> bool:
        """Hand a block to the socket; False if the last one is not through yet."""
        if self.held is not None and not self.push():
            return False
        number = self._numbers = self._numbers + 1
        hot, subject = self._subjects[number % BLOCKS]
        reply = b"%b.t%b%d" % (self._inbox, b"h" if hot else b"o", number)
        timed = _publish(subject, reply, BODIES["track"])
        self._due[number] = hot, now
        self.held = memoryview(timed + self._blocks[number % BLOCKS])
        self.sent += BLOCK
        self.push()
        return True

    def push(self) -> bool:
        """Write what is held, as far as the socket takes it; whether nothing is left."""
        if self.held is not None:
            try:
                self.held = self.held[self.socket.send(self.held) :] or None
            except BlockingIOError:
                pass
            except OSError:
                self.ended = True
        return self.held is None

    def take(self) -> None:
        """Count the answers that are there."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return
        data = self._rest + data
        cut = data.rfind(b"\r\n") + 2
        self._rest, data = data[cut:], data[:cut]
        for kind, mark in self._marks:
            self.answered[kind] += data.count(mark)
            self.refused[kind] += data.count(b"H" + mark)
        now = time.perf_counter()
        for refused, _, number in _TIMED.findall(data):
            hot, due = self._due.pop(int(number))
            self.timed.append(Timed(hot, due, now - due, bool(refused)))
        if data.startswith(b"PING\r\n") or b"\r\nPING\r\n" in data:
            self.socket.setblocking(True)
            if self.push():  # never in the middle of a message
                self.socket.sendall(b"PONG\r\n")
            self.socket.setblocking(False)


def _subject(rng: random.Random, verb: str, users: int, hot: float) -> tuple[bool, bytes]:
    is_hot = rng.random() < hot
    user = HOT if is_hot else f"u{rng.randrange(users)}"
    return is_hot, f"{PREFIX}.{verb}.{user}".encode()


def _block(rng: random.Random, inbox: bytes, users: int, hot: float) -> bytes:
    """All requests of a block but the one that is timed."""
    verbs = [verb for verb, weight in MIX for _ in range(weight)]
    pieces = []
    for _ in range(BLOCK - 1):
        verb = rng.choice(verbs)
        _, subject = _subject(rng, verb, users, hot)
        reply = b"%b.%b" % (inbox, b"a" if verb == "track" else verb[:1].encode())
        pieces.append(_publish(subject, reply, BODIES[verb]))
    return b"".join(pieces)


def _publish(subject: bytes, reply: bytes, body: bytes) -> bytes:
    return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(body), body)
