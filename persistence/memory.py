"""The journal in plain Python objects: for tests and dry runs. Durable as the process is."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile
from operator import attrgetter

from messages.stored.events import (
    ERASED,
)
from messages.stored.form import Form, said
from persistence.errors import NotStored
from persistence.key_filter import KeyFilter
from persistence.records import Archivable, Ended, EndedPage, Loaded, Marked, Row, Snapshot

_seq = attrgetter("seq")


class MemoryJournal:
    """A `Journal` of lists and dicts.

    Args:
        form: says which kinds are common.
    """

    def __init__(self, form: Form) -> None:
        self._common = frozenset(form.common())
        self._span = form.span
        self._ending = form.ending
        self._ended_by: dict[tuple[str, str], Row] = {}
        self._ends: list[Ended] = []
        self._dealt_with = 0
        self._rows: list[Row] = []
        self._of_user: defaultdict[str, list[Row]] = defaultdict(list)
        self._of_key: dict[tuple[str, str], Row] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._published = 0
        self._archived = 0

    async def append(self, rows: Sequence[Row], snapshots: Sequence[Snapshot] = ()) -> None:
        """See `EventLog.append`."""
        self._check(rows)
        for row in rows:
            self._rows.append(row)
            self._of_user[row.user].append(row)
            if row.key is not None:
                self._of_key[row.user, row.key] = row
            ended = self._ending.key_of(row.kind, row.body)
            if ended is not None:
                self._ended_by[row.user, ended] = row
            if row.kind == self._span.opens:
                end = said(row.body, f"$.{self._span.end}")
                if isinstance(end, int):
                    insort(self._ends, Ended(end, row.seq, row.user))
        for snapshot in snapshots:
            self._snapshots[snapshot.user] = snapshot

    def _check(self, rows: Sequence[Row]) -> None:
        last = self._rows[-1].seq if self._rows else 0
        keys = set()
        for row in rows:
            if row.seq <= last:
                raise NotStored(f"position {row.seq} is taken")
            last = row.seq
            if row.key is not None:
                key = (row.user, row.key)
                if key in self._of_key or key in keys:
                    raise NotStored(f"key {row.key!r} of user {row.user!r} is taken")
                keys.add(key)

    async def last_seq(self) -> int:
        """See `EventLog.last_seq`."""
        return self._rows[-1].seq if self._rows else 0

    async def snapshot(self, user: str) -> Snapshot | None:
        """See `LogQueries.snapshot`."""
        return self._snapshots.get(user)

    async def load(self, users: Sequence[str], limit: int) -> dict[str, Loaded]:
        """See `LogQueries.load`."""
        return {user: self._loaded(user, limit) for user in users}

    async def history(self, user: str, after: int, limit: int) -> list[Row]:
        """See `LogQueries.history`."""
        return _page(self._of_user.get(user, []), after, limit)

    async def newest(
        self, user: str, before: int, limit: int, kind: str | None = None
    ) -> list[Row]:
        """See `LogQueries.newest`."""
        rows = self._of_user.get(user, [])
        older = reversed(rows[: bisect_right(rows, before - 1, key=_seq)])
        return [row for row in older if kind is None or row.kind == kind][:limit]

    async def find(self, user: str, key: str) -> Row | None:
        """See `LogQueries.find`."""
        return self._of_key.get((user, key))

    async def find_all(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """See `LogQueries.find_all`."""
        return {key: row for key in keys if (row := self._of_key.get((user, key))) is not None}

    async def ended_by(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """See `LogQueries.ended_by`."""
        return {key: row for key in keys if (row := self._ended_by.get((user, key))) is not None}

    async def noticed(self, user: str, before: int, limit: int) -> list[Row]:
        """See `LogQueries.noticed`."""
        rows = reversed(self._of_user.get(user, []))
        return [row for row in rows if row.notify and row.seq < before][:limit]

    async def users(self, after: str, limit: int, prefix: str = "") -> list[str]:
        """See `LogQueries.users`."""
        found = (user for user in self._of_user if user > after and user.startswith(prefix))
        return sorted(found)[:limit]

    async def marked(self, kind: str, marks: Sequence[str], after: int, last: int) -> Marked:
        """See `LogQueries.marked`."""
        some = self._rows[
            bisect_right(self._rows, after, key=_seq) : bisect_right(self._rows, last, key=_seq)
        ]
        rows = [row for row in some if row.kind == kind and any(mark in row.body for mark in marks)]
        return Marked(rows, 0, max((row.at for row in some), default=None))

    def lost(self, user: str) -> int | None:  # noqa: ARG002 -- of the port
        """See `LogQueries.lost`; nothing is."""
        return None

    async def load_keys(self, keys: KeyFilter) -> None:
        """See `LogQueries.load_keys`."""
        for user, key in self._of_key:
            keys.claim(user, key)

    async def notices(self, after: int, limit: int) -> list[Row]:
        """See `Outbox.notices`."""
        start = bisect_right(self._rows, after, key=_seq)
        return [row for row in self._rows[start:] if row.notify][:limit]

    async def published(self) -> int:
        """See `Outbox.published`."""
        return self._published

    async def mark_published(self, seq: int) -> None:
        """See `Outbox.mark_published`."""
        self._published = seq

    async def ended(self, after: Ended, until: int, limit: int) -> EndedPage:
        """See `Ends.ended`."""
        start = bisect_right(self._ends, after[:2], key=lambda one: one[:2])
        page = [one for one in self._ends[start : start + limit] if one.end <= until]
        last = page[-1] if len(page) == limit else None
        return EndedPage([one for one in page if self._is_open(one)], last)

    def _is_open(self, one: Ended) -> bool:
        span, rows = self._span, self._of_user[one.user]
        opened, *behind = rows[bisect_right(rows, one.seq - 1, key=_seq) :]
        name = said(opened.body, span.name)
        return any(row.kind == span.fills for row in behind) and not any(
            row.kind == span.opens
            or (row.kind == span.closes and said(row.body, span.closed) == name)
            for row in behind
        )

    async def dealt_with(self) -> int:
        """See `Ends.dealt_with`."""
        return self._dealt_with

    async def mark_dealt_with(self, until: int) -> None:
        """See `Ends.mark_dealt_with`."""
        self._dealt_with = until

    async def erase(self, user: str) -> int:
        """See `Retention.erase`."""
        erased = {
            row.seq: row._replace(personal=ERASED)
            for row in self._of_user.get(user, ())
            if row.personal not in {None, ERASED}
        }
        for rows in (self._rows, self._of_user[user] if erased else []):
            rows[:] = [erased.get(row.seq, row) for row in rows]
        self._of_key |= {(user, row.key): row for row in erased.values() if row.key is not None}
        self._ended_by = {place: erased.get(row.seq, row) for place, row in self._ended_by.items()}
        return len(erased)

    async def archivable(self, before: int, limit: int, schema: int) -> Archivable | None:
        """See `Retention.archivable`."""
        due = _page(self._rows, self._archived, limit)
        due = list(takewhile(lambda row: row.at < before, due))
        if not due:
            return None
        newest = {row.user: row.seq for row in due if self._moves(row)}
        covered = {
            user
            for user, seq in newest.items()
            if (kept := self._snapshots.get(user)) and kept.schema == schema and kept.seq >= seq
        }
        return Archivable(due[-1].seq, [user for user in newest if user not in covered])

    async def archive(self, last: int) -> int:
        """See `Retention.archive`; here it is counted only."""
        moved = sum(self._archived < row.seq <= last and self._moves(row) for row in self._rows)
        self._archived = last
        return moved

    async def rows(self, after: int, limit: int) -> list[Row]:
        """See `EventLog.rows`."""
        return _page(self._rows, after, limit)

    async def close(self) -> None:
        """See `Journal.close`."""

    def _moves(self, row: Row) -> bool:
        return row.kind in self._common and not row.notify

    def _loaded(self, user: str, limit: int) -> Loaded:
        snapshot = self._snapshots.get(user)
        after = 0 if snapshot is None else snapshot.seq
        rows = _page(self._of_user.get(user, []), after, limit)
        return Loaded(snapshot, [(row.seq, row.kind, row.at, row.body) for row in rows])


def _page(rows: list[Row], after: int, limit: int) -> list[Row]:
    start = bisect_right(rows, after, key=_seq)
    return rows[start : start + limit]
