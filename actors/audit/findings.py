"""What a look at a log finds: what differs, where, whom it concerns, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from messages.units import to_datetime
from persistence.chain.check import Broken
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.inspecting.fault import MEND_BACKUP, NOTHING_SERVES, Fault, rows_named

REBUILD: Final = "meterd rebuild USER makes it anew from the log"
MEND_FIRST: Final = "mend the rows that are damaged first, then verify again"
BY_HAND: Final = (
    "its rows are as they were written: if they were changed by hand, a copy from before has them"
)


class Finding(NamedTuple):
    """Something that differs, or is damaged.

    Attributes:
        user: whose state differs, "" if it is about no state.
        period: of the state, "" if it is about none.
        field: of the state, or what is damaged, in a word or two.
        why: what was seen.
        file: its name within the data directory; "" for what a running service says.
        place: what of the file, for people.
        rows: the first and the last row that it is about.
        users: whose rows they are, as far as is known.
        days: the first and the last day of the rows in UTC, as far as is known.
        derived: whether it can be made anew from the log.
        do: what to do.
    """

    user: str
    period: str
    field: str
    why: str
    file: str = DATABASE
    place: str = ""
    rows: tuple[int, int] | None = None
    users: tuple[str, ...] = ()
    days: tuple[str, str] | None = None
    derived: bool = False
    do: str = ""


Found = Callable[[Finding], None]
"""Takes what differs."""


class OnePerUser:
    """Of each user tells the first finding, and how many more there are.

    Args:
        found: told of them.
    """

    def __init__(self, found: Found) -> None:
        self._found = found
        self._kept = dict[str, tuple[Finding, int]]()

    def take(self, finding: Finding) -> None:
        """The next finding; one of a snapshot as such is told as it is."""
        if finding.field == "snapshot":
            self._found(finding)
            return
        first, count = self._kept.get(finding.user, (finding, 0))
        self._kept[finding.user] = first, count + 1

    def tell(self) -> None:
        """There are no more."""
        for finding, count in self._kept.values():
            more = f"; {count - 1:,} more differ, and rows of the log are damaged"
            self._found(finding._replace(why=finding.why + more) if count > 1 else finding)
        self._kept.clear()


def of_fault(fault: Fault) -> Finding:
    """A damage that was found below, as what is told."""
    field, file, place, why, do, derived, first, last, users, at = fault
    rows = None if first is None or last is None else (first, last)
    days = None if at is None else days_of(*at)
    return Finding("", "", field, why, file, place, rows, users, days, derived, do)


def of_broken(broken: Broken, user: str | None, at: object) -> Finding:
    """Rows that do not fit into the chain; ``user`` and ``at`` are those of the row, if known."""
    first, last, why = broken
    field = rows_named(first, last)
    return Finding(
        "",
        "",
        field,
        why,
        place=f"{field} of the log",
        rows=(first, last),
        users=(user,) if isinstance(user, str) else (),
        days=days_of(at, at),
        do=f"{MEND_BACKUP}; {BY_HAND}",
    )


def of_row(user: str, seq: int, at: object, field: str, why: str) -> Finding:
    """What a row says that cannot be, or that differs from what was counted."""
    place = f"row {seq} of the log"
    return Finding(user, "", field, why, DATABASE, place, (seq, seq), (user,), days_of(at, at))


def of_snapshot(user: str, period: str, field: str, why: str, *, readable: bool = True) -> Finding:
    """What differs of a snapshot; one that cannot be read is set aside by the service."""
    do = REBUILD if readable else NOTHING_SERVES
    place = f"the snapshot of {user}"
    return Finding(user, period, field, why, DATABASE, place, None, (user,), None, True, do)


def days_of(first: object, last: object) -> tuple[str, str] | None:
    """The days of two moments, in microseconds since the epoch; None if one is none."""
    try:
        days = [to_datetime(at).date().isoformat() for at in (first, last) if isinstance(at, int)]
    except (OverflowError, ValueError):
        return None
    return (min(days), max(days)) if days else None
