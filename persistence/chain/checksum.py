"""The checksum of a row: whether what the disk gives back is what was written there.

It stands behind the row's link, and covers the link and all that the row says, its position and
partition included, in two parts: one of the body and of personal fields, one of all else. So whose
a row is, and which key it has, is known of a row whose body is damaged, or is in an archive.

A CRC-32 finds every error of up to 32 bits in a row, and of 4,000,000,000 others it misses one. It
is for disks; whoever changes a row on purpose is found by the chain.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

import msgspec

from persistence.chain.chain import LINK_BYTES
from persistence.records import Row

CHECKSUM_BYTES: Final = 8
STAMP_BYTES: Final = LINK_BYTES + CHECKSUM_BYTES
"""What is stored of a row's link and checksum together."""
_PART: Final = 4

_encode: Final = msgspec.msgpack.Encoder().encode


def stamp(link: bytes, row: Row, about: bytes | None) -> bytearray:
    """A row's link and its checksum; ``about`` as `chain.about_of` gives it."""
    stamped = bytearray(link)
    stamped += _of_head(link, row).to_bytes(_PART, "big")
    stamped += _of_body(row[7], about).to_bytes(_PART, "big")
    return stamped


def head_fits(row: Row, stored: bytes) -> bool:
    """Whether all but the body and personal fields is as it was stamped; ``stored``: the stamp.

    Raises:
        Exception: a field is of a type that no row ever had.
    """
    link = stored[:LINK_BYTES]
    return _of_head(link, row) == int.from_bytes(stored[LINK_BYTES:-_PART], "big")


def body_fits(row: Row, about: bytes | None, stored: bytes) -> bool:
    """Whether the body and personal fields are as they were stamped; raises as `head_fits`."""
    return _of_body(row[7], about) == int.from_bytes(stored[-_PART:], "big")


def _of_head(link: bytes, row: Row) -> int:
    seq, partition, user, key, kind, at, notify, _, _ = row
    return crc32(_encode((link, seq, partition, user, key, kind, at, notify)))


def _of_body(body: str, about: bytes | None) -> int:
    found = crc32(body.encode())
    return found if about is None else crc32(about, found)
