"""Rows of the log in one step of a statement, if they are as usual.

Each step hands the interpreter lock back and forth, and a thread may wait milliseconds for it
while the event loop is busy. Whoever gets nothing here reads the rows by the door for all of them,
`stored_rows`, which says what is the matter.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec

from persistence.chain.checksum import STAMP_BYTES, usual_fits
from persistence.records import Row
from persistence.sqlite.checked import fits
from persistence.sqlite.connection import as_array, is_damage

Fields: TypeAlias = tuple[Any, ...]
"""Of a row: position, key, kind, moment, notice; of its stamp and its body the lengths in bytes;
what is personal, and the proof of it in hexadecimal digits. Compiled code would take a tuple of
these types apart and put it together each time."""

# Stamps and bodies, most of it, come one behind the other: as JSON, or digits, they would be
# written and read once more. A type that no row ever had does not fit those below.
_FIELDS: Final = """
SELECT json_group_array(json_array(log.seq, event_id, kind, at, notify,
    CASE typeof(chain) WHEN 'blob' THEN length(chain) WHEN 'null' THEN NULL ELSE 'mistyped' END,
    length(CAST(body AS BLOB)), personal,
    CASE typeof(proof) WHEN 'blob' THEN hex(proof) WHEN 'null' THEN NULL ELSE 0 END)),
    CAST(group_concat(coalesce(chain, '') || body, '') AS BLOB){whose}
FROM json_each(?) AS wanted CROSS JOIN log ON log.seq = wanted.value
"""
_WITHOUT: Final = _FIELDS.format(whose="")
_WITH: Final = _FIELDS.format(whose=", json_group_array(json_array(partition, user_id))")

_fields: Final = msgspec.json.Decoder(
    list[tuple[int, str | None, str, int, int, int | None, int, str | None, str | None]]
)
_whose: Final = msgspec.json.Decoder(list[tuple[int, str]])


def read_fields(db: sqlite3.Connection, wanted: Sequence[int]) -> tuple[Sequence[Fields], bytes]:
    """The fields of the rows at some positions, in that order.

    Returns:
        The fields of each row, none if any of them cannot be read; and the stamps and bodies of
        all, one behind the other.

    Raises:
        sqlite3.Error: the log cannot be read just now.
    """
    fields, bytes_, _ = _read(db, wanted, _WITHOUT)
    return fields, bytes_


def bodies_of(
    fields: Sequence[Fields],
    bytes_: bytes,
    whose: Sequence[tuple[int, str]],
    unchecked: int,
) -> list[str | None]:
    """The bodies of rows; None, or an empty one, of a row that is to be read by the door for all.

    Args:
        fields: as `read_fields` gives them.
        bytes_: likewise.
        whose: the partition and the user of each row.
        unchecked: rows up to here may have no checksum.
    """
    bodies: list[str | None] = []
    end = 0
    for one, (partition, user) in zip(fields, whose, strict=True):
        seq, key, kind, at, notify, stamp_bytes, body_bytes, personal, proof = one
        begin = end + (stamp_bytes or 0)
        chain = None if stamp_bytes is None else bytes_[end:begin]
        end = begin + body_bytes
        raw = bytes_[begin:end]
        try:
            body = raw.decode()
        except UnicodeDecodeError:
            bodies.append(None)
            continue
        usual = notify == 0 and personal is None and proof is None
        if usual and chain is not None and stamp_bytes == STAMP_BYTES:
            whole = usual_fits(seq, partition, user, key, kind, at, raw, chain)
        else:
            row = Row(seq, partition, user, key, kind, at, notify == 1, body, personal)
            random = None if proof is None else bytes.fromhex(proof)
            whole = fits(row, random, chain, unchecked)
        bodies.append(body if whole else None)
    return bodies


def rows_at(db: sqlite3.Connection, wanted: Sequence[int], unchecked: int) -> list[Row] | None:
    """The rows at some positions, in that order, if each is as it was written and has a body.

    Args:
        db: a connection to the log.
        wanted: the positions.
        unchecked: as `bodies_of`.

    Raises:
        sqlite3.Error: the log cannot be read just now.
    """
    fields, bytes_, whose = _read(db, wanted, _WITH)
    bodies = bodies_of(fields, bytes_, whose, unchecked)
    if len(bodies) != len(wanted):
        return None
    found: list[Row] = []
    for (seq, key, kind, at, notify, _, _, personal, _), (partition, user), body in zip(
        fields, whose, bodies, strict=True
    ):
        if not body:
            return None
        found.append(Row(seq, partition, user, key, kind, at, notify == 1, body, personal))
    return found


def _read(
    db: sqlite3.Connection, wanted: Sequence[int], statement: str
) -> tuple[Sequence[Fields], bytes, Sequence[Any]]:
    if not wanted:
        return (), b"", ()
    try:
        ((text, bytes_, *more),) = db.execute(statement, (as_array(wanted),))
        fields: Sequence[Fields] = _fields.decode(text)
        whose: Sequence[Any] = _whose.decode(more[0]) if more else ()
    except (sqlite3.Error, msgspec.DecodeError) as error:
        if isinstance(error, sqlite3.Error) and not is_damage(error):
            raise
        return (), b"", ()
    # They come in order: but SQL promises none.
    if [one[0] for one in fields] != [*wanted]:
        return (), b"", ()
    return fields, bytes_, whose
