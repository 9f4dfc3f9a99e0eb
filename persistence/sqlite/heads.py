"""The newest link of each partition, stored by itself now and then, for a start to find."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from messages.subjects import PARTITIONS
from persistence.chain.chain import LINK_BYTES, heads_as_bytes, heads_of_bytes
from persistence.damage import MEND
from persistence.errors import Damaged
from persistence.sqlite.data_dir import DATABASE

_PUT: Final = "INSERT OR REPLACE INTO heads (seq, links) VALUES (?, ?)"
_CHECKSUM_BYTES: Final = 4
_WHOLE: Final = PARTITIONS * LINK_BYTES + _CHECKSUM_BYTES


def put_heads(db: sqlite3.Connection, seq: int, heads: Sequence[bytes]) -> None:
    """Store the newest links as of a position."""
    links = heads_as_bytes(heads)
    db.execute(_PUT, (seq, links + _checksum(seq, links)))


def links_of(seq: int, stored: object, unchecked: int) -> bytes:
    """The links of what is stored of a position.

    Raises:
        ValueError: they are not as they were stored.
    """
    if not isinstance(stored, bytes):
        raise ValueError("the newest links of the chain are no bytes")  # noqa: TRY004 -- input
    if len(stored) == _WHOLE:
        links = stored[:-_CHECKSUM_BYTES]
        if stored[-_CHECKSUM_BYTES:] == _checksum(seq, links):
            return links
    elif seq <= unchecked:  # of before there were checksums
        heads_of_bytes(stored)
        return stored
    raise ValueError(f"the newest links of the chain as of {seq} are not as they were stored")


def newest_heads(db: sqlite3.Connection, unchecked: int) -> list[bytes]:
    """The newest link of each partition: the newest that are stored, and the rows behind them.

    Raises:
        Damaged: none of those that are stored can be used.
    """
    # In descending order: the usual start reads one, and one that is damaged costs more rows.
    for seq, stored in db.execute("SELECT seq, links FROM heads ORDER BY seq DESC"):
        try:
            heads = heads_of_bytes(links_of(seq, stored, unchecked))
        except ValueError:
            continue
        _follow(db, seq, heads)
        return heads
    raise Damaged(DATABASE, "each of the log's own notes of its newest links", MEND)


def _follow(db: sqlite3.Connection, after: int, heads: list[bytes]) -> None:
    """Move links on by those of the rows behind a position."""
    for partition, stored in db.execute(
        "SELECT partition, chain FROM log WHERE seq > ? ORDER BY seq", (after,)
    ):
        # Of a row that is damaged, or was changed by hand, too: whoever follows the chain finds
        # that row, and goes on from what it says.
        if isinstance(stored, bytes) and partition in range(PARTITIONS):
            heads[partition] = stored[:LINK_BYTES]


def _checksum(seq: int, links: bytes) -> bytes:
    return crc32(links, seq & 0xFFFFFFFF).to_bytes(_CHECKSUM_BYTES, "big")
