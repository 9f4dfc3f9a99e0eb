"""What rows opened that is over, and up to when that is dealt with."""

from __future__ import annotations

import json
import sqlite3
from typing import Final

PUT_DEALT_WITH: Final = (
    "INSERT INTO position (name, seq) VALUES ('ends', ?)"
    " ON CONFLICT DO UPDATE SET seq = excluded.seq"
)
DEALT_WITH: Final = "SELECT seq FROM position WHERE name = 'ends'"
FIRST_ROWS: Final = 4
"""Rows behind an opening one among which nearly always one fills it."""
MORE_ROWS: Final = 1_000


def said(body: str, path: str) -> object:
    """What a body has at a path of names, None if it has nothing or is no JSON."""
    try:
        found = json.loads(body)
        for name in path.removeprefix("$.").split("."):
            found = found[name]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return found


def put_dealt_with(db: sqlite3.Connection, until: int) -> None:
    """Store the moment up to which all is dealt with."""
    db.execute(PUT_DEALT_WITH, (until,))
