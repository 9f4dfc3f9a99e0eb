"""The journal port: an append-only log with snapshots, and its written contract.

One process owns a journal. Positions (``seq``) are given by the owner, grow by one per row
and are never given to two durable rows. Every implementation passes the one suite in
``tests/contract``; the words below are what that suite checks.

- `append` is one durable write: after it returns, all of its rows and snapshots survive any
  crash; after it raised `NotStored` none of them is there; after `OutcomeUnknown` all or
  none are, and `last_seq` says which.
- Reads see durable rows only, and all of them.
- A row is never changed and never removed, but its personal fields may be erased: they are
  `messages.stored.events.ERASED` then, for ever.
- `archive` moves bodies of old rows into files beside the log. Every read gives them as before;
  one that needs a file which is gone or damaged raises `ArchiveUnreadable`. A body is JSON.
- Snapshots, the published position and a kept filter of keys are derived data: losing them
  loses no event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from persistence.key_filter import KeyFilter
from persistence.records import Archivable, Loaded, Row, Snapshot


class Journal(Protocol):
    """See the module's docstring for the contract."""

    async def append(self, rows: Sequence[Row], snapshots: Sequence[Snapshot] = ()) -> None:
        """Store rows, in order of ``seq``, and snapshots in one durable write.

        A snapshot replaces the user's older one.

        Raises:
            NotStored: nothing of it is stored.
            OutcomeUnknown: it may or may not be stored.
        """
        ...

    async def last_seq(self) -> int:
        """The position of the newest durable row, 0 for an empty log."""
        ...

    async def snapshot(self, user: str) -> Snapshot | None:
        """The user's newest snapshot."""
        ...

    async def load(self, users: Sequence[str], limit: int) -> dict[str, Loaded]:
        """The newest snapshot of each of these users and at most ``limit`` rows behind it.

        By user, also where there is nothing; at most 1,000 users.
        """
        ...

    async def history(self, user: str, after: int, limit: int) -> list[Row]:
        """The user's rows with ``seq > after``, oldest first, at most ``limit``."""
        ...

    async def newest(
        self, user: str, before: int, limit: int, kind: str | None = None
    ) -> list[Row]:
        """The user's rows with ``seq < before``, newest first, at most ``limit``.

        With ``kind`` only rows of that kind; quick for every kind but the most common one.
        """
        ...

    async def find(self, user: str, key: str) -> Row | None:
        """The user's row with that idempotency key."""
        ...

    async def find_all(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """The user's rows with these idempotency keys, by key; at most 2,000 keys."""
        ...

    async def noticed(self, user: str, before: int, limit: int) -> list[Row]:
        """The user's rows with ``notify`` and ``seq < before``, newest first, at most ``limit``."""
        ...

    async def users(self, after: str, limit: int, prefix: str = "") -> list[str]:
        """Users that have rows, in the order of their UTF-8 bytes, at most ``limit``.

        Those behind ``after`` that begin with ``prefix``; the user ``""`` is never among them.
        """
        ...

    async def load_keys(self, keys: KeyFilter) -> None:
        """Have an empty filter hold every (user, key) pair of the log; called once.

        The journal may keep the filter for the next start, so from here on whoever appends a
        row with a key has put that into the filter before.

        Raises:
            Unavailable: the log cannot be read.
        """
        ...

    async def notices(self, after: int, limit: int) -> list[Row]:
        """Rows with ``notify`` and ``seq > after``, oldest first, at most ``limit``."""
        ...

    async def published(self) -> int:
        """The position up to which every notice is known to be published."""
        ...

    async def mark_published(self, seq: int) -> None:
        """Store the position up to which every notice is known to be published.

        Raises:
            NotStored: it is not stored; harmless, notices are then published again.
        """
        ...

    async def erase(self, user: str) -> int:
        """Erase the personal fields of all durable rows of a user; of how many rows.

        Some of them may stay where it raises; it may be called again.

        Raises:
            NotStored: not all are erased.
            OutcomeUnknown: some may or may not be erased.
            Unavailable: the log cannot be read.
        """
        ...

    async def archivable(self, before: int, limit: int, schema: int) -> Archivable | None:
        """What `archive` would take next, None where nothing is left to take.

        Args:
            before: rows from the first one on that took effect then or later stay.
            limit: a step begins with at most so many rows.
            schema: snapshots of other versions reflect nothing.

        Raises:
            Unavailable: the log cannot be read.
        """
        ...

    async def archive(self, last: int) -> int:
        """Move the bodies of calls and holds up to a position into a file; of how many rows.

        Rows that notify, and of all other kinds, stay as they are. Once it has begun, a step
        takes the rows that it began with. It may be called again wherever it ended.

        Raises:
            NotStored: some of them are not moved.
            OutcomeUnknown: some may or may not be moved.
            Unavailable: the log, or what was written of the file, cannot be read.
        """
        ...

    async def rows(self, after: int, limit: int) -> list[Row]:
        """All users' rows with ``seq > after``, oldest first, at most ``limit``."""
        ...

    async def close(self) -> None:
        """Close files and threads; pending writes are finished first."""
        ...
