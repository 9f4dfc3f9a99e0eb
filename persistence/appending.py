"""How a block becomes rows of the log: few statements, few variables, one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from persistence.chain import START, link
from persistence.journal import Row, Snapshot

# At most 32,766 variables fit into one statement on every SQLite since 3.32.
ROWS_PER_STATEMENT: Final = 1024
COLUMNS: Final = "seq, partition, user_id, event_id, kind, at, notify, body, personal"

_PUT_SNAPSHOT: Final = (
    "INSERT INTO snapshots (partition, user_id, seq, schema, body) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET seq = excluded.seq, schema = excluded.schema, body = excluded.body"
)
# To bind a bool or a None costs as much as to bind four texts, so that a row notifies nobody and
# has nothing personal, as nearly all rows, is text of the statement.
_SELDOM: Final = itemgetter(Row._fields.index("notify"), Row._fields.index("personal"))
_NEITHER: Final = (False, None)
_OTHERS: Final = itemgetter(
    *[at for at, name in enumerate(Row._fields) if name not in {"notify", "personal"}]
)
_OF_USUAL: Final = "column1, column2, column3, column4, column5, column6, 0, column7, NULL"


def append(
    db: sqlite3.Connection,
    rows: Sequence[Row],
    snapshots: Sequence[Snapshot],
    chain: bytes | None,
) -> bytes | None:
    """Write a block; the newest link of the chain."""
    if rows:
        chain = link(_newest_link(db) if chain is None else chain, rows)
    # Each statement hands the interpreter lock back and forth, which costs up to 5 ms each
    # time while the event loop is busy. So the usual block is one statement, which is its own
    # transaction, and not one per row between a BEGIN and a COMMIT.
    alone = not snapshots and len(rows) <= ROWS_PER_STATEMENT
    if not alone:
        db.execute("BEGIN IMMEDIATE")
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        _insert(db, rows[start : start + ROWS_PER_STATEMENT], (rows[-1].seq, chain))
    if snapshots:
        db.executemany(_PUT_SNAPSHOT, snapshots)
    if not alone:
        db.execute("COMMIT")
    return chain


def _newest_link(db: sqlite3.Connection) -> bytes:
    """The link of the newest row, which ends a block; none where it is older than the chain."""
    found = db.execute("SELECT chain FROM log ORDER BY seq DESC LIMIT 1").fetchone()
    return START if found is None or found[0] is None else bytes(found[0])


def _insert(
    db: sqlite3.Connection, rows: Sequence[Row], last_link: tuple[int, bytes | None]
) -> None:
    # To parse a statement costs as much as to run it: so few sizes, and the rest is padding,
    # an eighth at the most but for the smallest.
    count = len(rows)
    step = 1 << max(count.bit_length() - 4, 0)
    size = -(-count // step) * step
    usual = set(map(_SELDOM, rows)) == {_NEITHER}
    fields = len(_OTHERS(rows[0])) if usual else len(Row._fields)
    values: tuple[Any, ...] = tuple(chain.from_iterable(map(_OTHERS, rows) if usual else rows))
    padding = (0,) * (fields * (size - count))
    db.execute(_insert_statement(size, fields), last_link + values + padding)


@cache  # 72 sizes of each kind
def _insert_statement(size: int, fields: int) -> str:
    row = f"({', '.join('?' * fields)})"
    values = ", ".join([row] * size)
    columns = "*" if fields == len(Row._fields) else _OF_USUAL
    # Only the last row of a block has the link.
    select = f"SELECT {columns}, CASE column1 WHEN ? THEN ? END FROM (VALUES {values})"  # noqa: S608 -- of "?"
    return f"INSERT INTO log ({COLUMNS}, chain) {select} WHERE column1 > 0"
