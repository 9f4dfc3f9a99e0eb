"""How a block becomes rows of the log: few statements, few variables, one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from messages.subjects import PARTITIONS
from persistence.chain.chain import LINK_BYTES, follow, heads_as_bytes, heads_of_bytes
from persistence.records import Row, Snapshot

# At most 32,766 variables fit into one statement on every SQLite since 3.32.
ROWS_PER_STATEMENT: Final = 1024
HEADS_EVERY: Final = 4_096
"""After this many rows the newest links are stored by themselves, for the next start to find."""
COLUMNS: Final = "seq, partition, user_id, event_id, kind, at, notify, body, personal"

_PUT_SNAPSHOT: Final = (
    "INSERT INTO snapshots (partition, user_id, seq, schema, body) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET seq = excluded.seq, schema = excluded.schema, body = excluded.body"
)
_PUT_HEADS: Final = "INSERT OR REPLACE INTO heads (seq, links) VALUES (?, ?)"
# To bind a bool, a None or bytes costs as much as to bind four texts: sqlite3 looks for an adapter.
# So that a row notifies nobody and has nothing personal, as nearly all rows, is text of the
# statement, and a link is a bytearray, which needs none.
_USUAL_FIELDS: Final = 8
_OF_USUAL: Final = (
    "column1, column2, column3, column4, column5, column6, 0, column7, NULL, NULL, column8"
)
_ALL_FIELDS: Final = 11


def append(
    db: sqlite3.Connection,
    rows: Sequence[Row],
    snapshots: Sequence[Snapshot],
    heads: list[bytes] | None,
    random: Callable[[int], bytes],
) -> list[bytes]:
    """Write a block.

    Args:
        db: the writer's connection.
        rows: the block, in order of ``seq``.
        snapshots: what is written with it.
        heads: the newest link of each partition, None if they are not known.
        random: gives this many random bytes.

    Returns:
        The newest links after it.
    """
    heads = newest_heads(db) if heads is None else list(heads)
    # Each statement hands the interpreter lock back and forth, which costs up to 5 ms each
    # time while the event loop is busy. So the usual block is one statement, which is its own
    # transaction, and not one per row between a BEGIN and a COMMIT.
    round_ = bool(rows) and rows[-1].seq // HEADS_EVERY > (rows[0].seq - 1) // HEADS_EVERY
    alone = not snapshots and not round_ and len(rows) <= ROWS_PER_STATEMENT
    if not alone:
        db.execute("BEGIN IMMEDIATE")
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        _insert(db, rows[start : start + ROWS_PER_STATEMENT], heads, random)
    if round_:
        db.execute(_PUT_HEADS, (rows[-1].seq, heads_as_bytes(heads)))
    if snapshots:
        db.executemany(_PUT_SNAPSHOT, snapshots)
    if not alone:
        db.execute("COMMIT")
    return heads


def newest_heads(db: sqlite3.Connection) -> list[bytes]:
    """The newest link of each partition; raises as `heads_of_bytes`."""
    seq, stored = db.execute("SELECT seq, links FROM heads ORDER BY seq DESC LIMIT 1").fetchone()
    if not isinstance(stored, bytes):
        raise ValueError("the newest links of the chain are no bytes")  # noqa: TRY004 -- input
    heads = heads_of_bytes(stored)
    for partition, link in db.execute(
        "SELECT partition, chain FROM log WHERE seq > ? ORDER BY seq", (seq,)
    ):
        # Of a row that was changed by hand: whoever follows the chain passes over it as well.
        if isinstance(link, bytes) and partition in range(PARTITIONS):
            heads[partition] = link
    return heads


def _insert(
    db: sqlite3.Connection,
    rows: Sequence[Row],
    heads: list[bytes],
    random: Callable[[int], bytes],
) -> None:
    # To parse a statement costs as much as to run it: so few sizes, and the rest is padding,
    # an eighth at the most but for the smallest.
    count = len(rows)
    step = 1 << max(count.bit_length() - 4, 0)
    size = -(-count // step) * step
    usual = True
    for row in rows:
        if row[6] or row[8] is not None:
            usual = False
            break
    proofs: list[bytes | None] = [None] * count
    if not usual:
        proofs = [None if row.personal is None else random(LINK_BYTES) for row in rows]
    links = follow(heads, rows, proofs)
    values: list[object] = []
    for at, row in enumerate(rows):
        if usual:
            seq, partition, user, key, kind, moment, _, body, _ = row
            link = bytearray(links[at])
            values += (seq, partition, user, key, kind, moment, body, link)
        else:
            values += (*row, proofs[at], links[at])
    fields = _USUAL_FIELDS if usual else _ALL_FIELDS
    values += (0,) * (fields * (size - count))
    db.execute(_insert_statement(size, fields), values)


@cache  # 72 sizes of each kind
def _insert_statement(size: int, fields: int) -> str:
    row = f"({', '.join('?' * fields)})"
    values = ", ".join([row] * size)
    columns = "*" if fields == _ALL_FIELDS else _OF_USUAL
    select = f"SELECT {columns} FROM (VALUES {values})"  # noqa: S608 -- of "?"
    return f"INSERT INTO log ({COLUMNS}, proof, chain) {select} WHERE column1 > 0"
