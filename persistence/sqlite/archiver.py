"""How the bodies of old rows move from the log into files, step by step.

A step's file is written, synced and in its place before the log names it, and the log names it
before the first body goes. A body goes only if the file, read again, has the very same; so
whatever ends a step, each body is in the log or in a file, and the next step goes on where
that one ended.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final, TypeVar

import msgspec

from messages.stored.events import (
    ERASED,
)
from persistence.archive.entries import FIELDS as ENTRY
from persistence.archive.entries import ArchiveEntry, checksum_of, entry_of, name_of
from persistence.archive.files import BLOCK_ROWS, Writing, blocks_of, bodies
from persistence.errors import NotStored
from persistence.records import Archivable, Row
from persistence.sqlite.checked import FIELDS
from persistence.sqlite.connection import Connection
from persistence.sqlite.derived import rare
from persistence.sqlite.positions import ARCHIVED, position_of, put_position
from persistence.sqlite.stored_rows import StoredRows

LUMP_BLOCKS: Final = 2
"""Blocks whose bodies go in one transaction: calls that come meanwhile wait for it."""
_AROUND: Final = 160
"""Rows on either side that SQLite may move to other pages too: more than two pages have."""
_READ_ROWS: Final = 8 * BLOCK_ROWS
_UNDER_WAY: Final = f"SELECT {ENTRY} FROM archives WHERE last > ? ORDER BY last"  # noqa: S608 -- of a module
_PUT_ENTRY: Final = f"INSERT INTO archives ({ENTRY}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608 -- as above
_STEP: Final = """
WITH step AS (SELECT seq, at FROM log WHERE seq > ?1 ORDER BY seq LIMIT ?2)
SELECT coalesce(max(seq), ?1) FROM step
WHERE NOT EXISTS (SELECT 1 FROM step AS other WHERE other.at >= ?3)
    OR seq < (SELECT min(seq) FROM step AS other WHERE other.at >= ?3)
"""
_UNCOVERED: Final = """
SELECT found.user_id FROM (
    SELECT partition, user_id, max(seq) AS newest FROM log
    WHERE seq > ? AND seq <= ? AND {moves} GROUP BY partition, user_id
) AS found LEFT JOIN snapshots AS kept
    ON kept.partition = found.partition AND kept.user_id = found.user_id
    AND kept.schema = ? AND kept.seq >= found.newest
WHERE kept.seq IS NULL
"""

_TAKE: Final = f"""
INSERT INTO temp.moved ({FIELDS})
SELECT {FIELDS.replace("body", "''")}
FROM json_each(?) AS kept CROSS JOIN log ON log.seq = json_extract(kept.value, '$[0]')
WHERE body = json_extract(kept.value, '$[1]')
"""  # noqa: S608 -- text of this module

_PERSONAL: Final = f"personal IS NOT NULL AND personal <> '{ERASED}'"
_KEEP: Final = f"""
INSERT INTO temp.kept SELECT seq, personal FROM log WHERE seq >= ? AND seq <= ? AND {_PERSONAL}
"""  # noqa: S608 -- as above
# Blanks of the same length, so that each row keeps its place in its page.
_BLANK: Final = "SET personal = CAST(zeroblob(length(CAST(personal AS BLOB))) AS TEXT)"
_BLANKED: Final = (
    f"UPDATE log {_BLANK} WHERE seq IN (SELECT seq FROM temp.kept)",  # noqa: S608 -- as above
    f"UPDATE temp.moved {_BLANK} WHERE {_PERSONAL}",
)
_GIVE_BACK: Final = """
UPDATE log SET personal = (SELECT kept.personal FROM temp.kept WHERE kept.seq = log.seq)
WHERE seq IN (SELECT seq FROM temp.kept)
"""

_T = TypeVar("_T")

_encode: Final = msgspec.json.Encoder().encode


class Archiver:
    """Moves bodies.

    Args:
        stored: reads rows; its archives are told of each new file.
        pages: reads the log.
        writer: writes it.
        written: told how many rows a transaction wrote anew.
        common: the kinds whose bodies move. Nobody looks for such rows but by user and position;
            what is published stays, and so do all other kinds.
    """

    def __init__(
        self,
        stored: StoredRows,
        pages: Connection,
        writer: Connection,
        written: Callable[[int], None],
        common: Sequence[str],
    ) -> None:
        self._archives = stored.archives
        self._stored = stored
        self._pages = pages
        self._writer = writer
        self._written = written
        self._moves = (
            f"NOT ({rare(common)}) AND notify = 0 AND typeof(body) = 'text' AND body <> ''"
        )

    async def next(self, before: int, limit: int, schema: int) -> Archivable | None:
        """See `Retention.archivable`."""
        return await self._pages.ask(_next, self._moves, before, limit, schema)

    async def move(self, last: int) -> int:
        """See `Retention.archive`."""
        archived, found = await self._pages.ask(_under_way)
        if found is None:
            found = await self._write(archived, last)
        if found is None:  # nothing in these rows is to move
            await self._writer.write(put_position, ARCHIVED, last)
            return 0
        _, last, name, stored = found
        self._archives.last = max(self._archives.last, last)
        moved, blocks = 0, [block for block in blocks_of(stored) if block.first > archived]
        for start in range(0, len(blocks), LUMP_BLOCKS):
            lump = blocks[start : start + LUMP_BLOCKS]
            path = self._archives.directory / name
            kept = await _beside(bodies, path, lump)
            upto = last if start + LUMP_BLOCKS >= len(blocks) else max(kept)
            text = _encode(list(kept.items())).decode()
            if not await self._writer.write(_empty, last, text, len(kept), upto):
                raise NotStored(f"rows of the log are not as the archive {name} has them")
            moved += len(kept)
            self._written(len(kept))
        return moved

    async def _write(self, archived: int, last: int) -> ArchiveEntry | None:
        """Write the file of a step, and have the log name it."""
        first, after = archived + 1, archived
        name = name_of(first, last)
        try:
            file = await _beside(Writing, self._archives.directory, name)
            with closing(file):
                while rows := await self._pages.ask(self._rows, after, last):
                    await _beside(file.add, rows)
                    after = rows[-1].seq
                if not file.blocks:
                    return None
                await _beside(file.finish)
        except OSError as error:
            raise NotStored(f"the archive {name} cannot be written: {error.strerror}") from error
        blocks = _encode(file.blocks).decode()
        entry = ArchiveEntry(first, last, name, blocks)
        await self._writer.write(_record, entry)
        return entry

    def _rows(self, db: sqlite3.Connection, after: int, last: int) -> list[Row]:
        """The next rows whose bodies move."""
        query = f"SELECT seq FROM log WHERE seq > ? AND seq <= ? AND {self._moves}"  # noqa: S608 -- text of this module
        found = db.execute(f"{query} ORDER BY seq LIMIT ?", (after, last, _READ_ROWS)).fetchall()
        return self._stored.at(db, [seq for (seq,) in found])


async def _beside(function: Callable[..., _T], *args: object) -> _T:
    """Run a function in a thread; whoever is cancelled meanwhile waits for its end.

    So a descriptor that it writes to is not closed under it.
    """
    running = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def _next(
    db: sqlite3.Connection, moves: str, before: int, limit: int, schema: int
) -> Archivable | None:
    archived, found = _under_way(db)
    if found is not None:
        last = found.last
    else:
        ((last,),) = db.execute(_STEP, (archived, limit, before))
    if last == archived:
        return None
    uncovered = db.execute(_UNCOVERED.format(moves=moves), (archived, last, schema)).fetchall()
    return Archivable(last, [user for (user,) in uncovered])


def _under_way(db: sqlite3.Connection) -> tuple[int, ArchiveEntry | None]:
    """The position up to which bodies are out of the log, and the next archive, if there is one."""
    archived = position_of(db, ARCHIVED)
    found = db.execute(_UNDER_WAY, (archived,)).fetchone()
    return archived, None if found is None else entry_of(found)


def _record(db: sqlite3.Connection, entry: ArchiveEntry) -> None:
    db.execute(_PUT_ENTRY, (*entry, checksum_of(entry)))


def _empty(db: sqlite3.Connection, last: int, kept: str, count: int, upto: int) -> bool:
    """Take the bodies of some rows out of the log, in one transaction.

    Rows are removed and put back without them, since an UPDATE would leave each page half empty
    for ever. Few statements do it: each may wait for the interpreter lock, while calls wait.

    Rows that SQLite moves from page to page meanwhile leave copies in what is unused of a page,
    which an erasure would not find. So they have no personal fields then.

    Args:
        db: the writer's connection.
        last: of the archive that has the bodies.
        kept: positions and bodies as that archive has them, as JSON.
        count: how many.
        upto: up to here nothing is left to move, after this.

    Returns:
        False if the log has other bodies: nothing is changed then.
    """
    db.execute(f"CREATE TEMP TABLE IF NOT EXISTS moved AS SELECT {FIELDS} FROM log LIMIT 0")  # noqa: S608
    db.execute("CREATE TEMP TABLE IF NOT EXISTS kept (seq INTEGER PRIMARY KEY, personal TEXT)")
    db.execute("BEGIN IMMEDIATE")
    if db.execute(_TAKE, (kept,)).rowcount != count:
        db.execute("ROLLBACK")
        return False
    db.execute("UPDATE archives SET moving = 1 WHERE last = ?", (last,))
    (around,) = db.execute("SELECT min(seq) - ?1, max(seq) + ?1 FROM temp.moved", (_AROUND,))
    personal = db.execute(_KEEP, around).rowcount > 0
    if personal:
        for statement in _BLANKED:
            db.execute(statement)
    db.execute("DELETE FROM log WHERE seq IN (SELECT seq FROM temp.moved)")
    db.execute(f"INSERT INTO log ({FIELDS}) SELECT {FIELDS} FROM temp.moved")  # noqa: S608
    if personal:
        db.execute(_GIVE_BACK)
        db.execute("DELETE FROM temp.kept")
    db.execute("UPDATE archives SET moving = 0 WHERE last = ?", (last,))
    db.execute("DELETE FROM temp.moved")
    put_position(db, ARCHIVED, upto)
    db.execute("COMMIT")
    return True
