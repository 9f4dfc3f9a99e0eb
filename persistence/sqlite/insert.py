"""How a block becomes rows of the log: few statements, few variables, one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from persistence.chain.chain import LINK_BYTES, about_of, follow
from persistence.chain.checksum import stamp
from persistence.records import Row, Snapshot
from persistence.sqlite.checked import COLUMNS
from persistence.sqlite.heads import put_heads

# At most 32,766 variables fit into one statement on every SQLite since 3.32.
ROWS_PER_STATEMENT: Final = 1024
HEADS_EVERY: Final = 4_096
"""After this many rows the newest links are stored by themselves, for the next start to find."""


_PUT_SNAPSHOT: Final = (
    "INSERT INTO snapshots (partition, user_id, seq, schema, body) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET seq = excluded.seq, schema = excluded.schema, body = excluded.body"
)
# To bind a bool, a None or bytes costs as much as to bind four texts: sqlite3 looks for an adapter.
# So that a row notifies nobody and has nothing personal, as nearly all rows, is text of the
# statement, and a stamp is a bytearray, which needs none.
_USUAL_FIELDS: Final = 8
_OF_USUAL: Final = (
    "column1, column2, column3, column4, column5, column6, 0, column7, NULL, NULL, column8"
)
_ALL_FIELDS: Final = 11


def append(
    db: sqlite3.Connection,
    rows: Sequence[Row],
    snapshots: Sequence[Snapshot],
    heads: list[bytes],
    random: Callable[[int], bytes],
) -> list[bytes]:
    """Write a block.

    Args:
        db: the writer's connection.
        rows: the block, in order of ``seq``.
        snapshots: what is written with it.
        heads: the newest link of each partition.
        random: gives this many random bytes.

    Returns:
        The newest links after it.
    """
    heads = list(heads)
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
        put_heads(db, rows[-1].seq, heads)
    if snapshots:
        db.executemany(_PUT_SNAPSHOT, snapshots)
    if not alone:
        db.execute("COMMIT")
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
    abouts = proofs
    if not usual:
        proofs = [None if row.personal is None else random(LINK_BYTES) for row in rows]
        abouts = [about_of(row[8], proofs[at]) for at, row in enumerate(rows)]
    links = follow(heads, rows, abouts)
    values: list[object] = []
    for at, row in enumerate(rows):
        if usual:
            seq, partition, user, key, kind, moment, _, body, _ = row
            stamped = stamp(links[at], row, None)
            values += (seq, partition, user, key, kind, moment, body, stamped)
        else:
            values += (*row, proofs[at], stamp(links[at], row, abouts[at]))
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
