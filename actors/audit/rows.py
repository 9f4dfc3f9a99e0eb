"""Rows of the log that are damaged or missing, those beside each other as one finding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from actors.audit.findings import Finding, Found, days_of
from persistence.records import Row
from persistence.sqlite.inspecting.fault import MEND_BACKUP, USERS_MAX, rows_named
from persistence.sqlite.inspecting.rows import Fit, Gap, Seen

FINDINGS_MAX: Final = 1_000
"""So many are told one by one."""
_MISSING: Final = "missing: a row has to be at each position"
_UNREAD: Final = "SQLite cannot read the pages that they are in"


class _Run(NamedTuple):
    """Damaged rows that follow each other, of the same kind.

    Attributes:
        before: when the row before them took effect, None if nobody knows.
        days: of the rows themselves, as far as it is known of all.
    """

    first: int
    last: int
    why: str
    users: dict[str, None]
    before: int | None
    exact: list[int] | None


class DamagedRows:
    """Takes rows in order, and tells of those that are damaged.

    Args:
        found: told of them.
        users_of: whose rows are at some positions, as far as others know.

    Attributes:
        any: whether there were any.
        users: of whom rows are known to be damaged.
    """

    def __init__(
        self, found: Found, users_of: Callable[[int, int], Sequence[str]] | None = None
    ) -> None:
        self._users_of = users_of or (lambda *_: ())
        self.any = False
        self._found = found
        self._run: _Run | None = None
        self._waiting = list[_Run]()  # for the next row that is whole
        self._at: int | None = None
        self._told = 0
        self._untold: tuple[int, int, int] | None = None

    def whole(self, row: Row) -> None:
        """A row that is as it was written."""
        if self._run is not None or self._waiting:
            self._close()
            for run in self._waiting:
                self._tell(run, row.at)
            self._waiting.clear()
        self._at = row.at

    def gap(self, gap: Gap) -> None:
        """Rows that are not there, or cannot be read."""
        why = _UNREAD if gap.unread else _MISSING
        self._add(_Run(gap.first, gap.last, why, {}, self._at, None))

    def damaged(self, seen: Seen) -> None:
        """A row that is not as it was written."""
        row = seen.row
        why = seen.fit.value + (f": {seen.why}" if seen.why else "")
        if seen.fit is Fit.BODY:  # all else is as it was written
            self._add(_Run(row.seq, row.seq, why, {row.user: None}, self._at, [row.at, row.at]))
            self._at = row.at
        else:
            self._add(_Run(row.seq, row.seq, why, {}, self._at, None))

    def end(self) -> None:
        """There are no more rows."""
        self._close()
        for run in self._waiting:
            self._tell(run, None)
        self._waiting.clear()
        if self._untold is not None:
            count, first, last = self._untold
            why = f"{count:,} more places are damaged between these"
            self._tell(_Run(first, last, why, {}, None, None), None, last=True)

    def _add(self, run: _Run) -> None:
        self.any = True
        mine = self._run
        if mine is None or mine.why != run.why or mine.last + 1 != run.first:
            self._close()
            self._run = run
            return
        for user in run.users:
            if len(mine.users) < USERS_MAX:
                mine.users[user] = None
        exact = None
        if mine.exact is not None and run.exact is not None:
            exact = [min(mine.exact[0], run.exact[0]), max(mine.exact[1], run.exact[1])]
        self._run = mine._replace(last=run.last, exact=exact)

    def _close(self) -> None:
        if self._run is None:
            return
        run, self._run = self._run, None
        if run.exact is not None or len(self._waiting) >= FINDINGS_MAX:
            self._tell(run, None)
        else:
            self._waiting.append(run)

    def _tell(self, run: _Run, after: int | None, *, last: bool = False) -> None:
        if self._told >= FINDINGS_MAX and not last:
            count, first, _ = self._untold or (0, run.first, run.last)
            self._untold = (count + 1, first, run.last)
            return
        self._told += 1
        field = rows_named(run.first, run.last)
        days = days_of(*run.exact) if run.exact is not None else days_of(run.before, after)
        self._found(
            Finding(
                "",
                "",
                field,
                run.why,
                place=f"{field} of the log",
                rows=(run.first, run.last),
                users=tuple(run.users or self._users_of(run.first, run.last)),
                days=days,
                do=MEND_BACKUP,
            )
        )
