"""Damage of a journal in memory: calls that fail as they do over damaged bytes, and rotten rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from persistence.errors import Damaged, JournalError
from persistence.memory import MemoryJournal
from persistence.records import Row
from tests.support.rig import Answer, Logs, Rig

PLACE = "not executed: row 17 of meterd.db is not as it was written"
READS = (
    *("snapshot", "load", "history", "newest", "find", "find_all", "ended_by", "noticed"),
    "erase",
)
"""Calls of a journal that read rows or the state of users whom they name first."""


def damaged(seq: int = 17, last: int | None = None) -> Damaged:
    """What a read raises if a row is damaged."""
    return Damaged("meterd.db", f"row {seq}", "run meterd mend", first=seq, last=last)


def break_reads(
    patch: pytest.MonkeyPatch,
    journal: Any,
    error: JournalError,
    *,
    calls: Sequence[str] = READS,
    users: Sequence[str] = ("alice",),
) -> Counter[str]:
    """Have calls that name one of these users raise an error from now on; how many of each do."""
    tried = Counter[str]()
    for call in calls:
        patch.setattr(journal, call, _broken(getattr(journal, call), error, users, tried))
    return tried


def _broken(read: Any, error: JournalError, users: Sequence[str], tried: Counter[str]) -> Any:
    async def broken(named: Any, *rest: Any) -> Any:
        if named in users or (isinstance(named, list) and not {*users}.isdisjoint(named)):
            tried[read.__name__] += 1
            raise error
        return await read(named, *rest)

    return broken


def rot(journal: MemoryJournal, seq: int, **fields: Any) -> None:
    """Have a stored row be another one: what a disk gives back of a row without a checksum."""

    def of(row: Row) -> Row:
        return row._replace(**fields) if row.seq == seq else row

    (before,) = [row for row in journal._rows if row.seq == seq]
    journal._rows[:] = map(of, journal._rows)
    journal._of_user[before.user][:] = map(of, journal._of_user[before.user])
    for known in (journal._of_key, journal._ended_by):
        known.update({place: of(row) for place, row in known.items()})


def row_of(rig: Rig, kind: str, user: str = "alice") -> Row:
    """The user's newest row of a kind."""
    return [row for row in rig.inner._rows if (row.user, row.kind) == (user, kind)][-1]


def said(lines: Logs) -> list[str]:
    """What the log says that is no mere information; none of it is a traceback."""
    assert not [line for line in lines if "exc_info" in line or "Traceback" in str(line)]
    return [line["event"] for line in lines if line["log_level"] in {"warning", "error"}]


def refused_for_good(answer: Answer, message: str = PLACE) -> None:
    """The caller hears what is damaged, and that to try again does not help."""
    error = answer.error
    assert error is not None, answer
    assert (error["code"], error["message"]) == ("unavailable", message)
    assert error["retryable"] is False
    assert (error["retry_after"], error["error_id"]) == (None, None)
    assert answer.headers is not None
    assert answer.headers["Nats-Service-Error-Code"] == "503"
