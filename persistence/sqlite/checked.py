"""Rows of the log as the disk gives them back, compared with their checksums."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from persistence.chain.chain import LINK_BYTES, about_of
from persistence.chain.checksum import STAMP_BYTES, body_fits, head_fits
from persistence.damage import MEND
from persistence.errors import Damaged
from persistence.records import Row
from persistence.sqlite.data_dir import DATABASE

COLUMNS: Final = "seq, partition, user_id, event_id, kind, at, notify, body, personal"
FIELDS: Final = f"{COLUMNS}, proof, chain"
"""What `checked` takes."""
HEADS: Final = FIELDS.replace("body, personal", "'', NULL")
"""The same without what the first part of a checksum does not cover."""
OF_BEFORE: Final = frozenset({0, LINK_BYTES})
"""How many bytes stand for a link in rows without a checksum."""
MISTYPED: Final = (AttributeError, OverflowError, TypeError, ValueError)
"""What is raised if a field is of a type, or a number of a size, that no row ever had."""


def damaged(first: int, last: int | None = None) -> Damaged:
    """The error for rows of the log."""
    place = f"row {first}" if last in {None, first} else f"one of rows {first} to {last}"
    return Damaged(DATABASE, place, MEND, first=first, last=last)


def checked(found: Iterable[tuple[Any, ...]], unchecked: int) -> list[Row]:
    """Rows of what a query gave of `FIELDS`; a body may be empty, if it is in an archive.

    Args:
        found: the fields of each row.
        unchecked: rows up to here may have no checksum: they are of before there were any.

    Raises:
        Damaged: one of them is not as it was written.
    """
    rows: list[Row] = []
    for seq, partition, user, key, kind, at, notify, body, personal, proof, stored in found:
        row = Row(seq, partition, user, key, kind, at, notify == 1, body, personal)
        if not fits(row, proof, stored, unchecked):
            raise damaged(seq)
        rows.append(row)
    return rows


def fits(row: Row, proof: object, stored: object, unchecked: int) -> bool:
    """Whether a row is as it was written: without its body, if that is empty."""
    try:
        if stored is None:
            return 0 < row[0] <= unchecked
        if not isinstance(stored, bytes) or not (proof is None or isinstance(proof, bytes)):
            return False
        if len(stored) != STAMP_BYTES:
            return 0 < row[0] <= unchecked and len(stored) in OF_BEFORE
        if not head_fits(row, stored):
            return False
        return not row[7] or body_fits(row, about_of(row[8], proof), stored)
    except MISTYPED:
        return False
