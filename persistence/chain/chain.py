"""The chain of digests over the log, one chain for each partition.

The link of a row is a digest of the link before it in its partition and of all that the row
says, so whoever changes, removes or moves a row has to make every later link of that partition
anew, and they do not fit to a copy that somebody else holds of the newest ones.

Personal fields may be erased later. So a link covers a digest of them, made with random bytes
that are erased with them: what was there cannot be guessed from what stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from messages.stored.events import (
    ERASED,
)
from messages.subjects import PARTITIONS
from persistence.records import Row

LINK_BYTES: Final = 16
START: Final = bytes(LINK_BYTES)
"""What the first link of a partition follows."""

_encode: Final = msgspec.msgpack.Encoder().encode
_EMPTY: Final = blake2b(digest_size=LINK_BYTES)
"""To copy it takes less than to make another one."""


def link(before: bytes, row: Row, about: bytes | None) -> bytes:
    """The link of a row after ``before``; ``about`` as `about_of` gives it."""
    covered = _encode((before, row if row.personal is None else (*row[:8], about)))
    digest = _EMPTY.copy()
    digest.update(covered)
    return digest.digest()


def about_of(personal: str | None, proof: bytes | None) -> bytes | None:
    """What a link covers of personal fields, which are there or were erased.

    Args:
        personal: the fields as JSON text.
        proof: the random bytes that were drawn for them; if they were erased, what this
            function gave before.
    """
    if personal is None or personal == ERASED:
        return proof
    return blake2b(personal.encode(), key=proof or b"", digest_size=LINK_BYTES).digest()


def follow(heads: list[bytes], rows: Sequence[Row], abouts: Sequence[bytes | None]) -> list[bytes]:
    """The links of rows.

    Args:
        heads: the newest link of each partition, moved on to those of the rows.
        rows: in order of ``seq``.
        abouts: what is covered of the personal fields of each row, as `about_of` gives it.
    """
    links: list[bytes] = []
    for at, row in enumerate(rows):
        partition: int = row[1]
        found = link(heads[partition], row, abouts[at])
        heads[partition] = found
        links.append(found)
    return links


def heads_as_bytes(heads: Sequence[bytes]) -> bytes:
    """The newest links of all partitions as they are stored."""
    return b"".join(heads)


def heads_of_bytes(stored: bytes) -> list[bytes]:
    """Stored links; one alone, or none, stands for that of every partition.

    Raises:
        ValueError: they are not what `heads_as_bytes` gave.
    """
    if len(stored) in {0, LINK_BYTES}:
        return [stored or START] * PARTITIONS
    if len(stored) != PARTITIONS * LINK_BYTES:
        raise ValueError(f"the newest links of the chain take {len(stored)} bytes")
    return [stored[at : at + LINK_BYTES] for at in range(0, len(stored), LINK_BYTES)]
