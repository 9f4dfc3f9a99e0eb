"""What is read of the log: rows by user, key and position, from SQLite and its index.

Reads have two connections, one for recoveries, which requests wait for, and one for pages. What
is in files of the archive is read in the connection's thread as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from messages.stored.form import Form, Storage
from messages.subjects import encode_user, partition_of
from persistence.errors import Damaged
from persistence.records import Ended, EndedPage, Loaded, Row, Snapshot
from persistence.sqlite.bulk_load import ONE_SNAPSHOT, Asked, load
from persistence.sqlite.connection import Connection
from persistence.sqlite.derived import rare
from persistence.sqlite.ends import (
    FIRST_ROWS,
    MORE_ROWS,
    filling,
    looked_at,
    query_of,
)
from persistence.sqlite.index import LogIndex
from persistence.sqlite.positions import ENDS, PUBLISHED, position_of
from persistence.sqlite.stored_rows import StoredRows

_log: Final = structlog.get_logger(__name__)


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
        self._rare = rare(form.common())
        self._fills = form.span.fills
        self._ended = query_of(form)

    async def last_seq(self) -> int:
        """See `EventLog.last_seq`."""
        await self._index.catch_up()
        ((last,),) = await self._recoveries.read("SELECT coalesce(max(seq), 0) FROM log")
        return max(int(last), self._stored.losses.end)  # a lost position is given to no other row

    async def snapshot(self, user: str) -> Snapshot | None:
        """See `LogQueries.snapshot`."""
        place = (partition_of(encode_user(user)), user)
        found = await self._recoveries.read(ONE_SNAPSHOT, *place)
        return Snapshot(*found[0]) if found else None

    async def load(self, users: Sequence[str], limit: int) -> dict[str, Loaded]:
        """See `LogQueries.load`."""
        # What leaves memory after this is in the file by then.
        recent = [self._index.recent(user) for user in users]
        asked = Asked(users, recent, self._index.position, limit)
        return await load(self._recoveries, asked, self._stored)

    async def history(self, user: str, after: int, limit: int) -> list[Row]:
        """See `LogQueries.history`."""
        return await self._at(self._recoveries, await self._index.after(user, after, limit))

    async def newest(
        self, user: str, before: int, limit: int, kind: str | None = None
    ) -> list[Row]:
        """See `LogQueries.newest`."""
        if kind is not None and self._storage.get(kind, Storage.RARE) is Storage.RARE:
            where = f"user_id = ? AND seq < ? AND kind = ? AND {self._rare}"
            rare = await self._where(
                f"{where} ORDER BY seq DESC LIMIT ?", user, before, kind, limit
            )
            return (await self._at(self._pages, rare))[::-1]
        found: list[Row] = []
        while len(found) < limit:
            positions = await self._index.before(user, before, limit)
            found += (await self._at(self._pages, positions, lambda row: kind in {None, row.kind}))[
                ::-1
            ]
            if len(positions) < limit:
                break
            before = positions[-1]
        return found[:limit]

    async def find(self, user: str, key: str) -> Row | None:
        """See `LogQueries.find`."""
        return (await self.find_all(user, [key])).get(key)

    async def find_all(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """See `LogQueries.find_all`."""
        # What leaves memory after this is in the file by then.
        wanted = set(keys)
        maybe = self._index.maybe(user, wanted)
        rows = await self._at(self._recoveries, maybe, lambda row: row.key in wanted)
        if len(rows) < len(keys):
            rows += await self._at(self._recoveries, await self._index.find_all(user, keys))
        return {row.key: row for row in rows if row.key is not None}

    async def ended_by(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """See `LogQueries.ended_by`."""
        positions = await self._index.ended_by(self._recoveries, user, keys)
        wanted, found = set(keys), dict[str, Row]()
        for row in await self._at(self._recoveries, positions):
            key = self._ending.key_of(row.kind, row.body)
            if key in wanted:
                found[key] = row
        return found

    async def noticed(self, user: str, before: int, limit: int) -> list[Row]:
        """See `LogQueries.noticed`."""
        where = "user_id = ? AND notify = 1 AND seq < ? ORDER BY seq DESC LIMIT ?"
        return (await self._at(self._pages, await self._where(where, user, before, limit)))[::-1]

    async def users(self, after: str, limit: int, prefix: str = "") -> list[str]:
        """See `LogQueries.users`."""
        return await self._index.users(after, limit, prefix)

    def lost(self, user: str) -> int | None:
        """See `LogQueries.lost`."""
        losses = self._stored.losses.all
        if not losses:
            return None
        partition = partition_of(encode_user(user)) if user else 0
        return next((loss.first for loss in losses if loss.may_have_lost(partition)), None)

    async def notices(self, after: int, limit: int) -> list[Row]:
        """See `Outbox.notices`."""
        where = "notify = 1 AND seq > ? ORDER BY seq LIMIT ?"
        return await self._at(self._pages, await self._where(where, after, limit))

    async def published(self) -> int:
        """See `Outbox.published`."""
        return await self._position(PUBLISHED)

    async def ended(self, after: Ended, until: int, limit: int) -> EndedPage:
        """See `Ends.ended`."""
        page, found = await self._pages.ask(looked_at, self._ended, after, until, limit)
        filled = await self._filled(found)
        last = page[-1] if len(page) == limit else None
        return EndedPage([one for one in found if one.seq in filled], last)

    async def dealt_with(self) -> int:
        """See `Ends.dealt_with`."""
        return await self._position(ENDS)

    async def _position(self, name: str) -> int:
        """A position that is derived: after a loss it is lower than it was."""
        try:
            return await self._recoveries.ask(position_of, name)
        except Damaged as error:
            _log.error("damaged", file=error.file, place=error.place, do="nothing: it begins anew")
            return 0

    async def _filled(self, found: Sequence[Ended]) -> set[int]:
        """Those opening rows of which some row behind them fills what they opened."""
        filled = set[int]()
        left, rows = [(one.seq, one.user, one.seq) for one in found], FIRST_ROWS
        while left:
            behind = await self._index.behind([(user, after) for _, user, after in left], rows)
            positions = [seq for some in behind for seq in some]
            usage = await self._pages.ask(filling, positions, self._fills)
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
            rows = MORE_ROWS
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

    async def _where(self, where: str, *args: object) -> list[int]:
        # `where` is text of this module; all values are variables.
        query = f"SELECT seq FROM log WHERE {where}"  # noqa: S608
        return [seq for (seq,) in await self._pages.read(query, *args)]
