"""What is not as it was written, and what can be done about it."""

from __future__ import annotations

from typing import Final, NamedTuple

NOTHING_STARTS: Final = "nothing: the next start of the service makes it anew from the log"
NOTHING_SERVES: Final = "nothing: the service makes it anew from the log"
MEND: Final = "stop the service, then meterd mend"
MEND_BACKUP: Final = "stop the service, then meterd mend --backup FILE with a copy that has them"


USERS_MAX: Final = 100
"""So many users are named of a place."""


class Fault(NamedTuple):
    """A damage of one place.

    Attributes:
        field: what it is, in a word or two: ``row 5``, ``structure``, ``position``.
        file: its name, in the data directory.
        place: what of the file, for people.
        why: what was seen.
        do: what to do.
        derived: whether it can be made anew from the log.
        first: the first row that it is about, None if it is about no rows.
        last: the last one.
        users: whose it is, as far as is known.
        at: when the first and the last of its rows took effect, microseconds since the epoch.
    """

    field: str
    file: str
    place: str
    why: str
    do: str
    derived: bool = False
    first: int | None = None
    last: int | None = None
    users: tuple[str, ...] = ()
    at: tuple[int, int] | None = None


def rows_named(first: int, last: int) -> str:
    """Rows, in words."""
    return f"row {first}" if first == last else f"rows {first} to {last}"
