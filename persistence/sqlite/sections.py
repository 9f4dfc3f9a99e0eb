"""What a run of the index has, by section: what its terms are, and what its numbers."""

from __future__ import annotations

from enum import IntEnum, unique

KIND: str = "\x1f"
"""Stands between a user and a kind in a term; no user id has a control character."""
NOTICE: str = "!"
"""Stands for the kind of all rows of a user that notify."""


@unique
class Section(IntEnum):
    """The sections of a run, which are stored by these numbers.

    Attributes:
        ROWS: by user, the positions of all rows.
        KINDS: by user and rare kind, and by user for what notifies, positions.
        KEYS: by user, the mark of a key and the position of the row that has it.
        ENDS: by user, the mark of the key of what ended and the position of the row that ended it.
        OVER: of all users, when what a row opened ends and the position of that row.
        NOTICES: of all users, the positions of rows that notify.
    """

    ROWS = 1
    KINDS = 2
    KEYS = 3
    ENDS = 4
    OVER = 5
    NOTICES = 6


PAIRS = frozenset({Section.KEYS, Section.ENDS, Section.OVER})
"""Sections whose entries are two numbers each; the others have one."""


def of_kind(user: str, kind: str) -> str:
    """The term of a user's rows of a rare kind."""
    return f"{user}{KIND}{kind}"


def of_notices(user: str) -> str:
    """The term of a user's rows that notify."""
    return f"{user}{KIND}{NOTICE}"
