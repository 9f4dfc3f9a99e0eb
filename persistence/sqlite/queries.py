"""What is read of the log: rows by user, key and position, from SQLite and its index.

Reads have two connections, one for recoveries, which requests wait for, and one for pages. What
is in files of the archive is read in the connection's thread as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from messages.stored.form import Form, Storage, said
from messages.subjects import encode_user, partition_of
from persistence.damage import tell
from persistence.errors import Damaged
from persistence.records import Ended, EndedPage, Loaded, Marked, Row, Snapshot
from persistence.sqlite.blocks import Run
from persistence.sqlite.bulk_load import Asked, load, one_snapshot
from persistence.sqlite.connection import Connection
from persistence.sqlite.index import LogIndex
from persistence.sqlite.marked import read_marked
from persistence.sqlite.newest_page import Page
from persistence.sqlite.newest_page import read as read_page
from persistence.sqlite.positions import ENDS, PUBLISHED, position_of
from persistence.sqlite.stored_rows import StoredRows

ENDS_AT_ONCE: Final = 64
"""Ends that are looked at in one turn."""
_FIRST_ROWS: Final = 4
"""Rows behind an opening one among which nearly always one fills it."""
_MORE_ROWS: Final = 1_000


class LogReads:
    """All that is read of a `Journal` for the owner: `LogQueries`, and the reads of other ports.

    Args:
        recoveries: reads what requests wait for.
        pages: reads the rest.
        index: where users and keys are.
        rows: reads rows.
        form: says which kinds are rare.
    """

    def __init__(
        self,
        recoveries: Connection,
        pages: Connection,
        index: LogIndex,
        rows: StoredRows,
        form: Form,
    ) -> None:
        self._recoveries = recoveries
        self._pages = pages
        self._index = index
        self._stored = rows
        self._storage = form.storage
        self._ending = form.ending
        self._span = form.span

    async def last_seq(self) -> int:
        """See `EventLog.last_seq`."""
        await self._index.catch_up()
        ((last,),) = await self._recoveries.read("SELECT coalesce(max(seq), 0) FROM log")
        return max(int(last), self._stored.losses.end)  # a lost position is given to no other row

    async def snapshot(self, user: str) -> Snapshot | None:
        """See `LogQueries.snapshot`."""
        return await self._recoveries.ask(one_snapshot, user)

    async def load(self, users: Sequence[str], limit: int) -> dict[str, Loaded]:
        """See `LogQueries.load`."""
        loaded, lost = dict[str, Loaded](), list[Run]()
        async with self._index.question() as question:
            shelf = question.shelf
            if self._index.is_lent(self._recoveries):
                recent = [
                    [seq for tail in question.tails for seq in tail.of(user)] for user in users
                ]
                asked = Asked(users, recent, question.runs, shelf.lost, shelf.filters, limit)
                loaded, lost = await load(self._recoveries, asked, self._stored)
        for run in lost:
            shelf.lose(run)
        for user in users:
            if user not in loaded:  # it takes more of the index, or the log itself
                snapshot = await self.snapshot(user)
                rows = await self.history(user, snapshot.seq if snapshot else 0, limit)
                loaded[user] = Loaded(snapshot, [(row[0], row[4], row[5], row[7]) for row in rows])
        return loaded

    async def history(self, user: str, after: int, limit: int) -> list[Row]:
        """See `LogQueries.history`."""
        return await self._at(self._recoveries, await self._index.after(user, after, limit))

    async def newest(
        self, user: str, before: int, limit: int, kind: str | None = None
    ) -> list[Row]:
        """See `LogQueries.newest`."""
        if kind is not None and self._storage.get(kind, Storage.RARE) is Storage.RARE:
            at = await self._index.of_kind(user, kind, before, limit)
            return (await self._at(self._pages, at))[::-1]
        found: list[Row] = []
        while len(found) < limit:
            positions, rows = await self._page(user, before, limit, kind)
            found += rows
            if len(positions) < limit:
                break
            before = positions[-1]
        return found[:limit]

    async def _page(self, user: str, before: int, limit: int, kind: str | None) -> Page:
        """The newest rows of a user before a position, of which one kind is wanted, or each."""

        def keep(row: Row) -> bool:
            return kind is None or row.kind == kind

        async with self._index.question() as question:
            wanted = question.page(user, before, limit)
            shelf = question.shelf
            if self._index.is_lent(self._pages):
                page = await self._pages.ask(read_page, wanted, self._stored, keep)
                if isinstance(page, Page):
                    return page
                shelf.lose(page)
        positions = await self._index.before(user, before, limit)
        return Page(positions, (await self._at(self._pages, positions, keep))[::-1])

    async def find(self, user: str, key: str) -> Row | None:
        """See `LogQueries.find`."""
        return (await self.find_all(user, [key])).get(key)

    async def find_all(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """See `LogQueries.find_all`."""
        # What leaves memory after this is in the file by then.
        wanted = set(keys)
        maybe = self._index.maybe(user, wanted)
        rows = await self._at(self._recoveries, maybe, lambda row: row.key in wanted)
        found = {row.key: row for row in rows if row.key is not None}
        for everywhere in (False, True):
            if len(found) == len(wanted):
                break
            maybe = await self._index.find_all(user, keys, everywhere=everywhere)
            rows = await self._at(self._recoveries, maybe, lambda row: row.key in wanted)
            found |= {row.key: row for row in rows if row.key is not None}
            if len(maybe) < len(keys):
                break
            # Two keys of a user may have one mark: a new row is no reason to miss an older one.
        return found

    async def ended_by(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """See `LogQueries.ended_by`."""
        positions = await self._index.ended_by(user, keys)
        wanted, found = set(keys), dict[str, Row]()
        for row in await self._at(self._recoveries, positions):
            key = self._ending.key_of(row.kind, row.body)
            if key in wanted:
                found[key] = row
        return found

    async def noticed(self, user: str, before: int, limit: int) -> list[Row]:
        """See `LogQueries.noticed`."""
        at = await self._index.noticed(user, before, limit)
        return (await self._at(self._pages, at))[::-1]

    async def users(self, after: str, limit: int, prefix: str = "") -> list[str]:
        """See `LogQueries.users`."""
        return await self._index.users(after, limit, prefix)

    async def marked(self, kind: str, marks: Sequence[str], after: int, last: int) -> Marked:
        """See `LogQueries.marked`."""
        found, damage = await self._pages.ask(read_marked, self._stored, kind, marks, after, last)
        for error in damage:
            tell(error)
        return found

    def lost(self, user: str) -> int | None:
        """See `LogQueries.lost`."""
        losses = self._stored.losses.all
        if not losses:
            return None
        partition = partition_of(encode_user(user)) if user else 0
        return next((loss.first for loss in losses if loss.may_have_lost(partition)), None)

    async def notices(self, after: int, limit: int) -> list[Row]:
        """See `Outbox.notices`."""
        return await self._at(self._pages, await self._index.notices(after, limit))

    async def published(self) -> int:
        """See `Outbox.published`."""
        return await self._position(PUBLISHED)

    async def ended(self, after: Ended, until: int, limit: int) -> EndedPage:
        """See `Ends.ended`."""
        page = await self._index.over((after.end, after.seq), until, limit)
        found = list[Ended]()
        for begin in range(0, len(page), ENDS_AT_ONCE):  # others have their turn in between
            found += await self._open_and_filled(page[begin : begin + ENDS_AT_ONCE])
        return EndedPage(found, await self._last_of(page) if len(page) == limit else None)

    async def _last_of(self, page: Sequence[tuple[int, int]]) -> Ended | None:
        if not page:
            return None
        with suppress(Damaged):  # whose it is does not matter for what comes behind it
            (row,) = await self._at(self._pages, [page[-1][1]])
            return Ended(*page[-1], row.user)
        return Ended(*page[-1], "")

    async def _open_and_filled(self, page: Sequence[tuple[int, int]]) -> list[Ended]:
        """Those ends of a page that nobody closed and that were filled.

        If a row that tells this of one is damaged, that one is passed over: others go on.
        """
        try:
            rows = {row.seq: row for row in await self._at(self._pages, [seq for _, seq in page])}
            ended = [Ended(end, seq, rows[seq].user) for end, seq in page]
            still = await self._still_open([(one, rows[one.seq]) for one in ended])
            filled = await self._filled(still)
        except Damaged as error:
            if len(page) == 1:
                tell(error)
                return []
            half = len(page) // 2
            first = await self._open_and_filled(page[:half])
            return [*first, *await self._open_and_filled(page[half:])]
        return [one for one in still if one.seq in filled]

    async def _still_open(self, found: Sequence[tuple[Ended, Row]]) -> list[Ended]:
        """Those behind which nothing else was opened, and which nobody closed."""
        span = self._span
        asked = [
            (one.user, kind, one.seq) for one, _ in found for kind in (span.opens, span.closes)
        ]
        behind = await self._index.later(asked)
        closing = sorted({seq for some in behind[1::2] for seq in some})
        rows = await self._at(self._pages, closing)
        closed = {row.seq: said(row.body, span.closed) for row in rows}
        return [
            one
            for (one, row), opened, closes in zip(found, behind[::2], behind[1::2], strict=True)
            if not opened and said(row.body, span.name) not in [closed[seq] for seq in closes]
        ]

    async def dealt_with(self) -> int:
        """See `Ends.dealt_with`."""
        return await self._position(ENDS)

    async def _position(self, name: str) -> int:
        """A position that is derived: after a loss it is lower than it was."""
        try:
            return await self._recoveries.ask(position_of, name)
        except Damaged as error:
            tell(error)
            return 0

    async def _filled(self, found: Sequence[Ended]) -> set[int]:
        """Those opening rows of which some row behind them fills what they opened."""
        filled = set[int]()
        left, rows = [(one.seq, one.user, one.seq) for one in found], _FIRST_ROWS
        while left:
            behind = await self._index.behind([(user, after) for _, user, after in left], rows)
            positions = [seq for some in behind for seq in some]
            some_rows = await self._at(self._pages, sorted({*positions}))
            usage = {row.seq for row in some_rows if row.kind == self._span.fills}
            filled |= {
                seq
                for (seq, _, _), some in zip(left, behind, strict=True)
                if not usage.isdisjoint(some)
            }
            left = [
                (seq, user, some[-1])
                for (seq, user, _), some in zip(left, behind, strict=True)
                if seq not in filled and len(some) == rows
            ]
            rows = _MORE_ROWS
        return filled

    async def rows(self, after: int, limit: int) -> list[Row]:
        """See `EventLog.rows`."""
        there = self._stored.losses.next_there(after, limit, self._index.last)
        return await self._at(self._pages, there)

    async def _at(
        self,
        connection: Connection,
        positions: Sequence[int],
        wanted: Callable[[Row], bool] = lambda _: True,
    ) -> list[Row]:
        """The rows at these positions that are wanted, oldest first."""
        return await connection.ask(self._stored.at, positions, wanted) if positions else []
