"""The requests that a load sends, as the bytes of a NATS client; endless, and each key is fresh."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterator
from typing import Any

from messages.subjects import PREFIX

REPLY = "_INBOX.load.1"
VARIANTS = 4096
BATCH = 100
FILL_BODY_BYTES = 200
PLACE = "@" * 32
"""Where a key goes."""
MODELS = (
    ("openai", "gpt-4o-mini"),
    ("gemini", "gemini-2.5-flash"),
    ("anthropic", "claude-3.5-sonnet"),
    ("mistral", "openai/gpt-oss-120b:groq"),
)
TWO_MODELS = (
    ("openai", "gpt-4o-mini"),
    ("gemini", "gemini-2.5-flash"),
    ("mistral", "gpt-4o-mini"),
)
"""Three providers, two models."""


def publish(subject: str, body: bytes, reply: str = REPLY) -> bytes:
    return b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), len(body), body)


def keys() -> Iterator[bytes]:
    """Not seeded: a key that comes back in a later round would be a duplicate."""
    while True:
        digits = os.urandom(16 * 1024).hex().encode()
        for at in range(0, len(digits), 32):
            yield digits[at : at + 32]


def call(rng: random.Random, models: tuple[tuple[str, str], ...] = MODELS) -> dict[str, Any]:
    """The body of a `track` as in the trace, with a place for its key."""
    provider, model = rng.choice(models)
    return {
        "event_id": PLACE,
        "provider": provider,
        "model_used": model,
        "endpoint": "/v1/chat/completions",
        "tokens_input": rng.randint(20, 2000),
        "tokens_output": rng.randint(10, 500),
        "response_time": round(rng.uniform(0.2, 8.0), 3),
        "status_code": 200,
    }


def echoes(users: int, rng: random.Random) -> Iterator[bytes]:
    body = b'{"provider":"gemini","model_used":"gemini-2.5-flash","tokens_requested":1200}'
    return itertools.cycle([publish(f"echo.{rng.randrange(users)}", body) for _ in range(users)])


def keyed_echoes(users: int, rng: random.Random) -> Iterator[bytes]:
    """The bodies of `tracks`, to be sent back as they are."""
    for message in tracks(users, rng):
        _, _, rest = message.split(b" ", 2)
        yield b"PUB echo.0 " + rest


def enforces(users: int, rng: random.Random) -> Iterator[bytes]:
    variants = []
    for number in range(VARIANTS):
        body = {"provider": "gemini", "model_used": "gemini-2.5-flash"}
        tokens = {"tokens_requested": rng.randint(50, 4000)}
        subject = f"{PREFIX}.enforce.e{number % users}"
        variants.append(publish(subject, json.dumps(body | tokens).encode()))
    rng.shuffle(variants)
    return itertools.cycle(variants)


def tracks(users: int, rng: random.Random, initial: str = "t", stride: int = 1) -> Iterator[bytes]:
    """Calls of some users; with a stride those of every so-manieth number."""
    variants = []
    for number in range(max(VARIANTS, users)):
        body = call(rng, MODELS if initial != "e" else MODELS[1:2])
        subject = f"{PREFIX}.track.{initial}{number % users * stride}"
        head, tail = publish(subject, json.dumps(body).encode()).split(PLACE.encode())
        variants.append((head, tail))
    rng.shuffle(variants)
    for (head, tail), key in zip(itertools.cycle(variants), keys(), strict=False):
        yield head + key + tail


def spread_tracks(
    users: int, rng: random.Random, initial: str = "u", stride: int = 1
) -> Iterator[bytes]:
    """Calls of so many users that there is no template for each: one at random each time."""
    variants = []
    for _ in range(VARIANTS):
        body = json.dumps(call(rng)).encode()
        head, tail = body.split(PLACE.encode())
        variants.append((b" %b %d\r\n%b" % (REPLY.encode(), len(body), head), tail + b"\r\n"))
    start = f"PUB {PREFIX}.track.{initial}".encode()
    for (head, tail), key in zip(itertools.cycle(variants), keys(), strict=False):
        number = int(rng.random() * users) * stride
        yield b"%b%d%b%b%b" % (start, number, head, key, tail)


def batches(users: int, rng: random.Random) -> Iterator[bytes]:
    """Batches of 100 calls."""
    variants = []
    for number in range(VARIANTS // BATCH):
        body = json.dumps({"events": [call(rng) for _ in range(BATCH)]}).encode()
        subject = f"{PREFIX}.batch.b{number % users}"
        variants.append(publish(subject, body).split(PLACE.encode()))
    fresh = keys()
    for *parts, last in itertools.cycle(variants):
        yield b"".join([piece for part in parts for piece in (part, next(fresh))]) + last


def fills(users: int, rng: random.Random, each: int) -> Iterator[bytes]:
    """Ends: one batch for each user, with so many calls of three providers and two models."""
    bodies = []
    for _ in range(64):
        body = b'{"events":[%b]}' % b",".join([_of_200_bytes(rng) for _ in range(each)])
        bodies.append((len(body), body.split(PLACE.encode())))
    fresh = keys()
    for number in range(users):
        size, (*parts, last) = bodies[number % len(bodies)]
        body = b"".join([piece for part in parts for piece in (part, next(fresh))]) + last
        yield b"PUB %b.batch.m%d %b %d\r\n%b\r\n" % (
            PREFIX.encode(),
            number,
            REPLY.encode(),
            size,
            body,
        )


def _of_200_bytes(rng: random.Random) -> bytes:
    """A call whose endpoint is as long as it takes."""
    body = call(rng, TWO_MODELS) | {"endpoint": ""}
    left = FILL_BODY_BYTES - len(json.dumps(body, separators=(",", ":")))
    body["endpoint"] = "/v1/chat/completions".ljust(left, "/")[:left]
    return json.dumps(body, separators=(",", ":")).encode()


def visits(numbers: list[int], initial: str) -> Iterator[bytes]:
    """Ends: `enforce` for each of these users twice, one after the other."""
    body = b'{"provider":"gemini","tokens_requested":1200}'
    for number in numbers:
        yield from [publish(f"{PREFIX}.enforce.{initial}{number}", body)] * 2
