"""A load generator: one bare socket, a window of requests in flight, every reply checked.

It runs in a process of its own, so that it takes no time from what it measures, and prints
one line of JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from messages.subjects import PREFIX

REPLY = "_INBOX.load.1"
WINDOW = 256
WAIT_S = 30.0
VARIANTS = 4096
BATCH = 100
BATCH_WINDOW = 16
MODELS = (
    ("openai", "gpt-4o-mini"),
    ("gemini", "gemini-2.5-flash"),
    ("anthropic", "claude-3.5-sonnet"),
    ("mistral", "openai/gpt-oss-120b:groq"),
)


class LoadError(Exception):
    """What came back is not what was asked for."""


def echo_requests(users: int, rng: random.Random) -> Iterator[bytes]:
    body = b'{"provider":"gemini","model_used":"gemini-2.5-flash","tokens_requested":1200}'
    return itertools.cycle([publish(f"echo.{rng.randrange(users)}", body) for _ in range(users)])


def enforce_requests(users: int, rng: random.Random) -> Iterator[bytes]:
    variants = []
    for number in range(VARIANTS):
        body = {"provider": "gemini", "model_used": "gemini-2.5-flash"}
        tokens = {"tokens_requested": rng.randint(50, 4000)}
        subject = f"{PREFIX}.enforce.e{number % users}"
        variants.append(publish(subject, json.dumps(body | tokens).encode()))
    rng.shuffle(variants)
    return itertools.cycle(variants)


def track_requests(users: int, rng: random.Random, initial: str = "t") -> Iterator[bytes]:
    """Calls as in the trace, each with a fresh random key of 32 characters."""
    variants = []
    for number in range(VARIANTS):
        provider, model = rng.choice(MODELS) if initial == "t" else MODELS[1]
        body = {
            "event_id": "@" * 32,
            "provider": provider,
            "model_used": model,
            "endpoint": "/v1/chat/completions",
            "tokens_input": rng.randint(20, 2000),
            "tokens_output": rng.randint(10, 500),
            "response_time": round(rng.uniform(0.2, 8.0), 3),
            "status_code": 200,
        }
        subject = f"{PREFIX}.track.{initial}{number % users}"
        head, tail = publish(subject, json.dumps(body).encode()).split(b"@" * 32)
        variants.append((head, tail))
    rng.shuffle(variants)
    for (head, tail), key in zip(itertools.cycle(variants), keys(), strict=False):
        yield head + key + tail


def batch_requests(users: int, rng: random.Random) -> Iterator[bytes]:
    """Batches of 100 calls as in `track_requests`."""
    variants = []
    for number in range(VARIANTS // BATCH):
        events = []
        for _ in range(BATCH):
            provider, model = rng.choice(MODELS)
            event = {
                "event_id": "@" * 32,
                "provider": provider,
                "model_used": model,
                "endpoint": "/v1/chat/completions",
                "tokens_input": rng.randint(20, 2000),
                "tokens_output": rng.randint(10, 500),
                "response_time": round(rng.uniform(0.2, 8.0), 3),
                "status_code": 200,
            }
            events.append(event)
        subject = f"{PREFIX}.batch.b{number % users}"
        variants.append(publish(subject, json.dumps({"events": events}).encode()).split(b"@" * 32))
    fresh = keys()
    for *parts, last in itertools.cycle(variants):
        yield b"".join([piece for part in parts for piece in (part, next(fresh))]) + last


def keys() -> Iterator[bytes]:
    """Not seeded: a key that comes back in a later round would be a duplicate."""
    while True:
        digits = os.urandom(16 * 1024).hex().encode()
        for at in range(0, len(digits), 32):
            yield digits[at : at + 32]


def publish(subject: str, body: bytes) -> bytes:
    return b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), REPLY.encode(), len(body), body)


class Load:
    """One connection; `run` keeps `WINDOW` requests in flight on it."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port), WAIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        options = b'{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}'
        self._socket.sendall(b"CONNECT %b\r\nSUB _INBOX.load.* 1\r\n" % options)
        self._rest = b""
        self.replies = 0
        self.sample: dict[str, Any] = {}

    def run(self, requests: Iterator[bytes], seconds: float, window: int = WINDOW) -> float:
        """Send for so long, or until there are no more requests; return the replies a second.

        Raises:
            LoadError: an error, or no reply, came back.
        """
        before, start = self.replies, time.perf_counter()
        in_flight = self._send(requests, window)
        while time.perf_counter() - start < seconds and in_flight:
            done = self._receive()
            in_flight += self._send(requests, done) - done
        rate = (self.replies - before) / (time.perf_counter() - start)
        while in_flight:
            in_flight -= self._receive()
        return rate

    def _send(self, requests: Iterator[bytes], count: int) -> int:
        batch = list(itertools.islice(requests, count))
        self._socket.sendall(b"".join(batch))
        return len(batch)

    def _receive(self) -> int:
        """Wait for bytes; return how many replies are complete with them."""
        data = self._rest + self._socket.recv(1 << 18)
        if len(data) == len(self._rest):
            raise LoadError("the server closed the connection")
        at = count = 0
        body = b""
        while (end := data.find(b"\r\n", at)) >= 0:
            if data.startswith(b"MSG ", at):
                after = end + 4 + int(data[data.rfind(b" ", at, end) : end])
                if after > len(data):
                    break
                body = data[end + 2 : after - 2]
                if body.startswith(b'{"error"'):
                    raise LoadError(body.decode())
                count += 1
                at = after
            elif data.startswith((b"HMSG", b"-ERR"), at):  # replies have no headers, errors do
                raise LoadError(data[at : at + 1000].decode(errors="replace"))
            else:
                if data.startswith(b"PING", at):
                    self._socket.sendall(b"PONG\r\n")
                at = end + 2
        self._rest = data[at:]
        self.replies += count
        if body:
            self.sample = json.loads(body)
        return count


def check(kind: str, sample: dict[str, Any]) -> None:
    """One reply of each kind is read in full."""
    match kind:
        case "echo":
            good = sample["provider"] == "gemini"
        case "enforce":
            good = isinstance(sample["allowed"], bool) and bool(sample["limits"])
        case "batch":
            good = sample["accepted"] == BATCH
        case _:
            good = sample["usage_logged"] is True and sample["duplicate"] is False
    if not good:
        raise LoadError(f"not a reply to {kind}: {sample}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("kind", choices=["echo", "track", "enforce", "batch", "seed"])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm", type=float, default=0.3, help="seconds not counted before")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    load = Load(options.url)
    if options.kind == "seed":  # a little usage for the users of enforce
        calls = track_requests(options.users, rng, "e")
        rate = load.run(itertools.islice(calls, 3 * VARIANTS), WAIT_S)
    else:
        make = {
            "echo": echo_requests,
            "track": track_requests,
            "enforce": enforce_requests,
            "batch": batch_requests,
        }
        requests = make[options.kind](options.users, rng)
        window = BATCH_WINDOW if options.kind == "batch" else WINDOW
        load.run(requests, options.warm, window)
        rate = load.run(requests, options.seconds, window)
    check(options.kind, load.sample)
    result = {"kind": options.kind, "rate": rate, "replies": load.replies, "seed": options.seed}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
