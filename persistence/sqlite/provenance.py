"""The provenance of a derived file: which log it was made of, by the row at its position.

A file whose row is another one, or is not there, was made of another log, or of more of it than
there is now.
"""

from __future__ import annotations

import sqlite3
from typing import Final

_ROW: Final = "SELECT user_id || ' ' || at || ' ' || ifnull(event_id, '')"


def anchor_at(db: sqlite3.Connection, seq: int, table: str = "log") -> str | None:
    """What marks the row at a position; "" before the first one, None if there is none."""
    if seq == 0:
        return ""
    found = db.execute(f"{_ROW} FROM {table} WHERE seq = ?", (seq,)).fetchone()
    return None if found is None else str(found[0])
