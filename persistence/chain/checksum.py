"""The checksum of a row: whether what the disk gives back is what was written there.

It stands behind the row's link, and covers the link and all that the row says, its position and
partition included, in two parts: one of the body and of personal fields, one of all else. So whose
a row is, and which key it has, is known of a row whose body is damaged, or is in an archive.

A CRC-32 finds every error of up to 32 bits in a row, and of 4,000,000,000 others it misses one. It
is for disks; whoever changes a row on purpose is found by the chain.
"""

from __future__ import annotations

from struct import Struct
from typing import Final
from zlib import crc32

import msgspec

from persistence.chain.chain import LINK_BYTES
from persistence.records import Row

CHECKSUM_BYTES: Final = 8
STAMP_BYTES: Final = LINK_BYTES + CHECKSUM_BYTES
"""What is stored of a row's link and checksum together."""
_PARTS: Final = Struct(f">{LINK_BYTES}sII")

_pack: Final = _PARTS.pack
_unpack: Final = _PARTS.unpack
_encode: Final = msgspec.msgpack.Encoder().encode


def stamp(link: bytes, row: Row, about: bytes | None) -> bytearray:
    """A row's link and its checksum; ``about`` as `chain.about_of` gives it."""
    seq, partition, user, key, kind, at, notify, body, _ = row
    head = crc32(_encode((link, seq, partition, user, key, kind, at, notify)))
    return bytearray(_pack(link, head, _of_body(body, about)))


def head_fits(row: Row, stored: bytes) -> bool:
    """Whether all but the body and personal fields is as it was stamped; ``stored``: the stamp.

    Raises:
        Exception: a field is of a type that no row ever had.
    """
    seq, partition, user, key, kind, at, notify, _, _ = row
    link, head, _ = _unpack(stored)
    return bool(crc32(_encode((link, seq, partition, user, key, kind, at, notify))) == head)


def body_fits(row: Row, about: bytes | None, stored: bytes) -> bool:
    """Whether the body and personal fields are as they were stamped; raises as `head_fits`."""
    _, _, said = _unpack(stored)
    return bool(_of_body(row[7], about) == said)


def usual_fits(
    seq: int,
    partition: int,
    user: str,
    key: str | None,
    kind: str,
    at: int,
    body: bytes,
    stored: bytes,
) -> bool:
    """Both of a row that notifies nobody and has nothing personal, without a `Row`."""
    link, head, said = _unpack(stored)
    try:
        of_head = crc32(_encode((link, seq, partition, user, key, kind, at, False)))
        return bool(of_head == head and crc32(body) == said)
    except (OverflowError, ValueError):
        return False


def _of_body(body: str, about: bytes | None) -> int:
    found = crc32(body.encode())
    return found if about is None else crc32(about, found)
