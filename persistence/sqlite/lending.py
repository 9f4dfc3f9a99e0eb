"""The index as connections to the log have it too: a statement of theirs reads both files."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from persistence.sqlite.connection import Connection
from persistence.sqlite.index_reads import PLACES

CACHE_KIB: Final = 512
"""Pages of the log and of the index in memory: users who are not live are anywhere in both, so
more of them in memory save no time."""


class Lending:
    """Who may read the file of the index, and whether it is attached there just now."""

    def __init__(self) -> None:
        self._lent = dict[Connection, bool]()

    async def lend(self, connection: Connection, index: Path | None) -> None:
        """Have a connection read the file too, now, or when there is one.

        Raises:
            sqlite3.Error: it cannot be attached; nothing of the file is open in it then.
        """
        self._lent[connection] = False
        if index is not None:
            await self._attach(connection, index)

    async def attach(self, index: Path) -> None:
        """Let all read a file; raises as `lend`, and who could not be given it is without."""
        for connection in [*self._lent]:
            await self._attach(connection, index)

    async def detach(self) -> None:
        """Take the file away from all, before it is closed.

        Raises:
            sqlite3.Error: one of them cannot be asked.
        """
        for connection, attached in [*self._lent.items()]:
            if attached:
                await detach(connection)
                self._lent[connection] = False

    def has(self, connection: Connection) -> bool:
        """Whether a connection can read the file just now."""
        return self._lent.get(connection, False)

    async def _attach(self, connection: Connection, index: Path) -> None:
        try:
            await attach(connection, index)
        except sqlite3.Error:
            with suppress(sqlite3.Error):  # unless it was done in part, there is nothing to undo
                await detach(connection)
            raise
        self._lent[connection] = True


async def attach(connection: Connection, index: Path) -> None:
    """Let a connection read the index as well.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    await connection.call(_attach, index)


async def detach(connection: Connection) -> None:
    """Undo `attach`."""
    await connection.call(_detach)


def _attach(db: sqlite3.Connection, index: Path) -> None:
    db.execute(f"ATTACH ? AS {PLACES}", (f"{index.absolute().as_uri()}?mode=ro",))
    for name in ("main", PLACES):
        db.execute(f"PRAGMA {name}.cache_size = -{CACHE_KIB}")


def _detach(db: sqlite3.Connection) -> None:
    db.execute(f"DETACH {PLACES}")
