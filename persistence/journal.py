"""The ports of the journal: an append-only log, and four things that are asked of it.

- `EventLog`: the log in its order. It decides what happened.
- `LogQueries`: what the log says of one user, of a key, of all users.
- `Outbox`: which rows have something to publish, and up to where they are published.
- `Ends`: what rows opened that is over by now, and up to when all of that is dealt with.
- `Retention`: what the log forgets, and what it moves elsewhere.

An owner asks for the port that it needs. `Journal` is all five, of one log.

The cut between the first and the others is where the log may go to another place one day. A log
that several processes share is a sequence of blocks: it can take the next block, say where it
ends and be read in order, and no more. Everything that looks for a user or a key is answered from
what each owner keeps of that log beside it, and is fed by `EventLog.append`.

One process owns a journal. Every implementation passes the suites in ``tests/contract``, one for
each port; the words below are what they check.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from persistence.key_filter import KeyFilter
from persistence.records import Archivable, Ended, EndedPage, Loaded, Marked, Row, Snapshot


class EventLog(Protocol):
    """The log in its order.

    - Positions (``seq``) are given by the owner, grow by one per row and are never given to two
      durable rows.
    - `append` is one durable write: after it returns, all of its rows and snapshots survive any
      crash; after it raised `NotStored` none of them is there; after `OutcomeUnknown` all or
      none are, and `last_seq` says which.
    - Reads, of every port, see durable rows only, and all of them.
    - A row is never changed and never removed (but see `Retention`).
    - Snapshots are derived data: losing them loses no event.
    """

    async def append(self, rows: Sequence[Row], snapshots: Sequence[Snapshot] = ()) -> None:
        """Store rows, in order of ``seq``, and snapshots in one durable write.

        A snapshot replaces the user's older one.

        Raises:
            NotStored: nothing of it is stored.
            OutcomeUnknown: it may or may not be stored.
        """
        ...

    async def last_seq(self) -> int:
        """The position of the newest durable row, 0 for an empty log.

        What an append of unknown outcome wrote is in all reads when this returns, or will never
        be.

        Raises:
            Unavailable: the log cannot be read.
        """
        ...

    async def rows(self, after: int, limit: int) -> list[Row]:
        """All users' rows with ``seq > after``, oldest first, at most ``limit``.

        Raises:
            Unavailable: the log cannot be read.
        """
        ...


class LogQueries(Protocol):
    """What the log says of users and keys.

    - Each query sees all that was durable when it was called, and no row twice.
    - User ids and keys are compared byte by byte. A key belongs to one user.
    - `load_keys` fills what says without a read that a key is new: it never says so of a key that
      is in the log.

    Each raises `Unavailable` if the log cannot be read, and `ArchiveUnreadable` if a row of the
    answer has its body in a file that cannot.
    """

    async def snapshot(self, user: str) -> Snapshot | None:
        """The user's newest snapshot."""
        ...

    async def load(self, users: Sequence[str], limit: int) -> dict[str, Loaded]:
        """The newest snapshot of each of these users and at most ``limit`` rows behind it.

        By user, also if there is nothing; at most 1,000 users.
        """
        ...

    async def history(self, user: str, after: int, limit: int) -> list[Row]:
        """The user's rows with ``seq > after``, oldest first, at most ``limit``."""
        ...

    async def newest(
        self, user: str, before: int, limit: int, kind: str | None = None
    ) -> list[Row]:
        """The user's rows with ``seq < before``, newest first, at most ``limit``.

        With ``kind`` only rows of that kind: quick for every rare kind, while of a common one it
        reads rows of the others too.
        """
        ...

    async def find(self, user: str, key: str) -> Row | None:
        """The user's row with that idempotency key."""
        ...

    async def find_all(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """The user's rows with these idempotency keys, by key; at most 2,000 keys."""
        ...

    async def ended_by(self, user: str, keys: Sequence[str]) -> dict[str, Row]:
        """The user's rows that ended what rows with these keys began, by key; at most 2,000 keys.

        Which rows do that is what the owner says when the log is opened
        (`messages.stored.form.Ending`). It takes as long however long what they began lasted. An
        end whose body is in a file that could not be read when the index was made is not found.
        """
        ...

    async def noticed(self, user: str, before: int, limit: int) -> list[Row]:
        """The user's rows with ``notify`` and ``seq < before``, newest first, at most ``limit``."""
        ...

    async def users(self, after: str, limit: int, prefix: str = "") -> list[str]:
        """Users that have rows, in the order of their UTF-8 bytes, at most ``limit``.

        Those behind ``after`` that begin with ``prefix``; the user ``""`` is never among them.
        """
        ...

    async def marked(self, kind: str, marks: Sequence[str], after: int, last: int) -> Marked:
        """All users' rows of a kind whose body has one of some texts, ``after < seq <= last``.

        A row that cannot be read, in the log or in an archive, does not hide the others: it is
        counted. What has none of the texts is not compared with its checksum.

        Args:
            kind: the kind.
            marks: texts that are not empty, each as it stands in the JSON of a body.
            after: the position before the stretch.
            last: its last position; at most 10,000 are one stretch.
        """
        ...

    def lost(self, user: str) -> int | None:
        """The first position at which rows of the user may be lost, None if none may be.

        That is known when the log is opened: an operator accepted it. What comes behind may name
        what only a lost row said.
        """
        ...

    async def load_keys(self, keys: KeyFilter) -> None:
        """Have an empty filter hold every (user, key) pair of the log; called once.

        The filter may be kept for the next start, so from here on whoever appends a row with a
        key has put that into the filter before. It is derived data: losing it loses no event.
        """
        ...


class Outbox(Protocol):
    """Which rows have something to publish, and up to where all of that is published.

    The position is derived data: after a loss it is lower than it was, notices are published
    again, and none is missed.
    """

    async def notices(self, after: int, limit: int) -> list[Row]:
        """Rows with ``notify`` and ``seq > after``, oldest first, at most ``limit``.

        Raises:
            Unavailable: the log cannot be read.
        """
        ...

    async def published(self) -> int:
        """The position up to which every notice is known to be published, 0 at first.

        Raises:
            Unavailable: the log cannot be read.
        """
        ...

    async def mark_published(self, seq: int) -> None:
        """Store the position up to which every notice is known to be published.

        Raises:
            NotStored: it is not stored; harmless, notices are then published again.
        """
        ...


class Ends(Protocol):
    """What is over and not closed: an index by the moment at which what a row opened ends.

    Which rows open, close and fill something is what the owner says when the log is opened
    (`messages.stored.form.Span`). The index is derived from the log, by those rows alone: it is
    true after any crash, and made anew if it is missing. The moment up to which all is dealt
    with is derived as well: after a loss it is earlier, and what was closed is not found again.
    """

    async def ended(self, after: Ended, until: int, limit: int) -> EndedPage:
        """What ended behind ``after`` and up to ``until``, in order of `Ended`.

        Only what a user's newest opening row opened, that no row behind it has closed, and that
        some row behind it fills. At most ``limit`` opening rows are looked at: a page may be
        empty and not the last.

        Raises:
            Unavailable: the log cannot be read.
        """
        ...

    async def dealt_with(self) -> int:
        """Up to when all that is over is known to be dealt with, 0 at first.

        Raises:
            Unavailable: the log cannot be read.
        """
        ...

    async def mark_dealt_with(self, until: int) -> None:
        """Store the moment up to which all that is over is dealt with.

        Raises:
            NotStored: it is not stored; harmless, it is looked at again then.
        """
        ...


class Retention(Protocol):
    """What the log forgets of persons, and which bodies it moves into files.

    - An erased row is as it was but for its personal fields, which are
      `messages.stored.events.ERASED`, for ever.
    - An archive moves bodies, which are JSON, into files beside the log. Every read, of every
      port, gives them as before; one that needs a file which is gone or damaged raises
      `ArchiveUnreadable`.
    - Which kinds an archive takes is what the owner says of them when the log is opened: those
      that are common.
    """

    async def erase(self, user: str) -> int:
        """Erase the personal fields of all durable rows of a user; of how many rows.

        Some of them may stay if it raises; it may be called again.

        Raises:
            NotStored: not all are erased.
            OutcomeUnknown: some may or may not be erased.
            Unavailable: the log cannot be read.
        """
        ...

    async def archivable(self, before: int, limit: int, schema: int) -> Archivable | None:
        """What `archive` would take next, None if nothing is left to take.

        Args:
            before: rows from the first one on that took effect then or later stay.
            limit: a step begins with at most this many rows.
            schema: snapshots of other versions reflect nothing.

        Raises:
            Unavailable: the log cannot be read.
        """
        ...

    async def archive(self, last: int) -> int:
        """Move the bodies of common rows up to a position into a file; of how many rows.

        Rows that notify, and those of rare kinds, stay as they are. Once it has begun, a step
        takes the rows that it began with. It may be called again wherever it ended.

        Raises:
            NotStored: some of them are not moved.
            OutcomeUnknown: some may or may not be moved.
            Unavailable: the log, or what was written of the file, cannot be read.
        """
        ...


class Journal(EventLog, LogQueries, Outbox, Ends, Retention, Protocol):
    """One log with all that is asked of it, for whoever opens, wires and closes it."""

    async def close(self) -> None:
        """Close files and threads; pending writes are finished first."""
        ...
