"""What rows opened that is over: the reads behind `Ends`, in the thread of a connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from messages.stored.form import Form
from persistence.records import Ended
from persistence.sqlite.connection import as_array
from persistence.sqlite.derived import ENDS, end_of, literal, rare

FIRST_ROWS: Final = 4
"""Rows behind an opening one among which nearly always one fills it."""
MORE_ROWS: Final = 1_000
_FILLING: Final = "SELECT seq FROM log WHERE seq IN (SELECT value FROM json_each(?)) AND kind = ?"


def query_of(form: Form) -> str:
    """The query of `looked_at`: what opening rows say, and whether that is open still.

    Its variables: an end and a position behind which it begins, an end, and how many rows.
    """
    span = form.span
    end, name = end_of(span, "o."), _text_at(span.name, "o")
    opens, closes = literal(span.opens), literal(span.closes)
    behind = f"SELECT 1 FROM log AS b WHERE b.user_id = o.user_id AND {rare(form.common(), 'b.')}"  # noqa: S608 -- text of this module
    of_kind = f"FROM log AS o INDEXED BY {ENDS} WHERE o.kind = {opens}"
    # Two ranges of the index, one behind the other: it is in order of the end and the position.
    ranges = (
        f"{end} = ?1 AND o.seq > ?2 AND ?1 <= ?3 ORDER BY o.seq",
        f"{end} > ?1 AND {end} <= ?3 ORDER BY {end}, o.seq",
    )
    looked = " UNION ALL ".join(
        f"SELECT * FROM (SELECT {end} AS end, o.seq, o.user_id, {name} AS name {of_kind}"  # noqa: S608 -- as above
        f" AND {found} LIMIT ?4)"
        for found in ranges
    )
    return (
        "SELECT o.end, o.seq, o.user_id,"  # noqa: S608 -- as above
        f" NOT EXISTS ({behind} AND b.kind = {opens} AND b.seq > o.seq)"
        f" AND NOT EXISTS ({behind} AND b.kind = {closes} AND b.seq > o.seq"
        f" AND {_text_at(span.closed, 'b')} = o.name)"
        f" FROM ({looked} LIMIT ?4) AS o"
    )


def _text_at(path: str, table: str) -> str:
    """What the body of a row has at a path; NULL if a damaged body is no JSON."""
    body = f"{table}.body"
    return f"CASE WHEN json_valid({body}) THEN json_extract({body}, {literal(path)}) END"


def looked_at(
    db: sqlite3.Connection, query: str, after: Ended, until: int, limit: int
) -> tuple[list[Ended], list[Ended]]:
    """A page of what ended, and of it what is open still."""
    found = db.execute(query, (after.end, after.seq, until, limit)).fetchall()
    page = [Ended(end, seq, user) for end, seq, user, _ in found]
    return page, [one for one, (*_, is_open) in zip(page, found, strict=True) if is_open]


def filling(db: sqlite3.Connection, positions: Sequence[int], kind: str) -> set[int]:
    """Those of the rows at these positions that are of a kind."""
    found = db.execute(_FILLING, (as_array(positions), kind))
    return {seq for (seq,) in found}
