"""Requests that are nearly right, as the bytes of a NATS client."""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from messages.subjects import PREFIX, encode_user, partition_of
from tests.support.mutations import CATALOG_BODIES, VERBS, dumped, mutated, valid
from tests.tools.fuzz.wire import INBOX

USERS: Final = 300
_UNSENDABLE: Final = bytes.maketrans(b" \t\r\n\x00", b"_____")
"""What ends a word of the protocol would be another message, or none."""
_OWN: Final = (b"alert", b"event", b"ctl")


class Message(NamedTuple):
    """What is sent, and what is expected of it.

    Attributes:
        data: the bytes.
        answers: how many there have to be: the fewest and the most.
    """

    data: bytes
    answers: tuple[int, int]


def message(rng: random.Random, number: int) -> Message:
    """One request; its answer goes to its number."""
    verb = rng.choice(VERBS)
    subject, odd = _subject(rng, verb)
    body = dumped(valid(rng, verb)) if rng.random() < 0.15 else mutated(rng, verb)
    head = _head(rng)
    reply, answers = _reply(rng, number)
    if odd and (rest := subject.removeprefix(PREFIX.encode() + b".")).startswith(_OWN):
        answers = (0, answers[1])  # what the service itself publishes is no request
        assert rest
    if odd and b".." in b".%b." % subject:
        answers = (0, answers[1])  # an empty token: a server may deliver it to nobody
    if head is None:
        return Message(b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(body), body), answers)
    sizes = (subject, reply, len(head), len(head) + len(body), head, body)
    return Message(b"HPUB %b %b %d %d\r\n%b%b\r\n" % sizes, answers)


def _subject(rng: random.Random, verb: str) -> tuple[bytes, bool]:
    """A subject, and whether it is another one than a client of ours would use."""
    if verb in CATALOG_BODIES:
        subject = f"{PREFIX}.{verb}"
    else:
        token = encode_user(f"user {rng.randrange(USERS)}@é")
        subject = f"{PREFIX}.{verb}.{token}"
        if rng.random() < 0.1:
            partition = partition_of(token) if rng.random() < 0.8 else rng.randrange(99)
            subject = f"{PREFIX}.p.{partition}.{verb}.{token}"
    data = subject.encode()
    if rng.random() >= 0.08:
        return data, False
    start = len(PREFIX) + 1
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(start, len(changed) + 1)
        piece = rng.choice((b".", b"*", b">", b"=", b"=61", b"\xff", b"\xc3\xa9", b"p.0.", b"\x7f"))
        changed[at : at + rng.randrange(3)] = rng.choice((piece, rng.randbytes(2)))
    if rng.random() < 0.02:
        changed += b"x" * rng.randint(1, 3_000)
    return bytes(changed).translate(_UNSENDABLE), True


def _head(rng: random.Random) -> bytes | None:
    """A block of headers, or none."""
    if rng.random() < 0.75:
        return None
    lines = []
    for _ in range(rng.randrange(4)):
        name = rng.choice((b"Nats-Msg-Id", b"nats-msg-id", b"X", b"", b"\xff", b"Nats-Msg-Id "))
        value = rng.choice(
            (b"k%d" % rng.randrange(10**6), b"", b"x" * 129, rng.randbytes(9), b"\xc3\xa9: 1")
        )
        lines.append(b"%b%b%b\r\n" % (name, rng.choice((b": ", b":", b"")), value))
    return b"NATS/1.0\r\n%b\r\n" % b"".join(lines)


def _reply(rng: random.Random, number: int) -> tuple[bytes, tuple[int, int]]:
    """Where the answer goes, and how many there have to be."""
    own = b"%b.%d" % (INBOX, number)
    chance = rng.random()
    if chance < 0.93:
        return own, (1, 1)
    if chance < 0.96:
        return b"", (0, 0)
    if chance < 0.98:  # also ours: we subscribe to all that begins so
        suffix = rng.choice((b"\xc3\xa9", b"\xff\xfe", b"\x7f", b"x" * 500, b"=", b"\x0b"))
        return b"%b.%b" % (own, suffix), (1, 1)
    return rng.choice((own + b".*", own + b".>", own + b"..", b"usage.v1.track.v")), (0, 1)
