"""A connection to the log that reads the index as well, whichever file that is."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from persistence.sqlite.bulk_load import attach, detach
from persistence.sqlite.connection import Connection


class Lending:
    """To whom the file is lent.

    Attributes:
        to: the connection, None if there is none; it may be that no file could be lent to it.
    """

    def __init__(self) -> None:
        self.to: Connection | None = None
        self._attached = False

    async def lend(self, connection: Connection, path: Path | None) -> None:
        """Have a connection read a file, None: one that is to come, until `take_back`.

        Raises:
            sqlite3.Error: it cannot; nothing of the file is open in it then.
        """
        self.to = connection
        if path is None:
            return
        try:
            await attach(connection, path)
        except sqlite3.Error:
            with suppress(sqlite3.Error):  # unless it was done in part, there is nothing to undo
                await detach(connection)
            raise
        self._attached = True

    async def take_back(self) -> None:
        """Undo `lend`.

        Raises:
            sqlite3.Error: it cannot be undone; all is as it was.
        """
        if self.to is not None and self._attached:
            await detach(self.to)
        self.to, self._attached = None, False
