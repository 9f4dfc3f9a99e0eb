"""Subject grammar: the ``=XX`` token of a user, partitions, and the subjects built of them.

A user id travels as one subject token: the bytes ``A-Z a-z 0-9 _ -`` of its UTF-8 stay,
every other byte becomes ``=XX`` in upper-case hex. The code is injective: a token that is
not exactly the encoding of the id it decodes to is refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from .units import USER_ID_BYTES_MAX, check_user_id

PREFIX: Final = "usage.v1"
PARTITIONS: Final = 64

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN: Final = re.compile(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})+")
_KEPT: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_ENCODED: Final = tuple(chr(b) if b in _KEPT else f"={b:02X}" for b in range(256))
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


def encode_user(user: str) -> str:
    """The subject token of a user id.

    Raises:
        ValueError: ``user`` is not a user id (see `check_user_id`).
    """
    if len(user) <= USER_ID_BYTES_MAX and _PLAIN.fullmatch(user):  # nearly always
        return user
    check_user_id(user)
    return "".join(_ENCODED[byte] for byte in user.encode())


def decode_user(token: str) -> str:
    """The user id of a subject token.

    Raises:
        ValueError: the token is not exactly the encoding of a user id.
    """
    if _PLAIN.fullmatch(token) and len(token) <= USER_ID_BYTES_MAX:
        return token
    if len(token) > 3 * USER_ID_BYTES_MAX or not _TOKEN.fullmatch(token):
        raise ValueError("not the encoding of a user id")
    head, *escaped = token.split("=")
    raw = bytearray(head.encode())
    for part in escaped:
        byte = int(part[:2], 16)
        if byte in _KEPT:
            raise ValueError("a byte of the user id is encoded without need")
        raw.append(byte)
        raw += part[2:].encode()
    return check_user_id(raw.decode())  # UnicodeDecodeError is a ValueError


def right_token(token: str) -> str:
    """``"; the token of x is y"`` if what was sent is a user id as it is; else empty."""
    if not token:
        return f"; the user id is the last token of a subject, such as {PREFIX}.track.alice"
    if "=" in token:  # it may be half encoded: to encode it again would be wrong
        return ""
    try:
        return f"; the token of the user id {token!r} is {encode_user(token)}"
    except ValueError:  # too long, or not text
        return ""


@lru_cache(maxsize=1024)  # a user who is not live is asked for three times in a row
def partition_of(token: str) -> int:
    """The partition of a user's token: FNV-1a 32 modulo 64, as nats-server's ``partition()``."""
    value = 0x811C9DC5
    for byte in token.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value % PARTITIONS


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` if it can stand before every subject.

    Raises:
        ValueError: it has other than plain tokens joined by dots.
    """
    if not _PREFIX.fullmatch(prefix) or len(prefix) > 128:
        raise ValueError(f"not a subject prefix: {prefix!r}")
    return prefix


def request_subject(prefix: str, verb: str, user: str) -> str:
    """The public subject of one verb for one user."""
    return f"{prefix}.{verb}.{encode_user(user)}"


def alert_subject(prefix: str, user: str, limit: str, threshold: int) -> str:
    """Where the alert of a crossed threshold is published.

    The limit is one token as a user id is, since the id of its provider may have dots.
    """
    return f"{prefix}.alert.{encode_user(user)}.{encode_user(limit)}.{threshold}"


def event_subject(prefix: str, kind: str, user: str) -> str:
    """Where a notable event (``reset``, ``period_closed``, ...) is published."""
    return f"{prefix}.event.{kind}.{encode_user(user)}"


def mapping(prefix: str) -> tuple[str, str]:
    """The server's subject mapping that adds the partition: (source, destination)."""
    # The numbers count wildcards, not tokens: the verb is 1, the user 2.
    partition = f"{{{{partition({PARTITIONS},2)}}}}"
    return f"{prefix}.*.*", f"{prefix}.p.{partition}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}"
