"""Erases personal fields, so that the log is as whole as before and no page has them any more."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from messages.stored.events import (
    ERASED,
)
from persistence.chain.chain import about_of
from persistence.sqlite.connection import as_array

ROWS_AT_ONCE: Final = 500
_ERASE: Final = "UPDATE log SET personal = ?, proof = ? WHERE seq = ?"


def erase(db: sqlite3.Connection, positions: Sequence[int]) -> int:
    """Erase the personal fields of the rows at these positions, in one transaction.

    What is freed in the pages is overwritten, because the connection has ``secure_delete``.

    Returns:
        How many of them had any.
    """
    where = "seq IN (SELECT value FROM json_each(?)) AND personal IS NOT NULL AND personal <> ?"
    db.execute("BEGIN IMMEDIATE")
    found = db.execute(
        f"SELECT seq, personal, proof FROM log WHERE {where}",  # noqa: S608 -- text of this module
        (as_array(positions), ERASED),
    ).fetchall()
    # A row from before schema 6 has no proof: no link covers its personal fields.
    erased = [(ERASED, proof and about_of(personal, proof), seq) for seq, personal, proof in found]
    db.executemany(_ERASE, erased)
    db.execute("COMMIT")
    return len(erased)
