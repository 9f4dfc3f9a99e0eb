"""What a journal takes and gives: rows of the log, snapshots, and what is read of them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Row(NamedTuple):
    """One event of one user as the log keeps it.

    Attributes:
        seq: position in the log, 1 is the first.
        partition: 0 to 63, derived from the user.
        user: the user id.
        key: the event's idempotency key, None if it has none. At most one row of a user
            has it: the owner looks a key up before it uses it, the journal does not.
        kind: the event's kind.
        at: when it took effect, microseconds since the epoch; never falls within a user.
        notify: whether the row has something to publish.
        body: the event as JSON text.
        personal: personal fields as JSON text, kept apart so that they can be erased alone.
    """

    seq: int
    partition: int
    user: str
    key: str | None
    kind: str
    at: int
    notify: bool
    body: str
    personal: str | None


class Snapshot(NamedTuple):
    """A user's state as of a position.

    ``schema`` says which version of the state wrote ``body``; a reader ignores others.
    """

    partition: int
    user: str
    seq: int
    schema: int
    body: bytes


Entry: TypeAlias = tuple[int, str, int, str]
"""What replaying a row takes: its ``seq``, ``kind``, ``at`` and ``body``."""


class Loaded(NamedTuple):
    """What a user's state is made of.

    Attributes:
        snapshot: the newest one, None if there is none.
        tail: the first rows behind it, oldest first.
    """

    snapshot: Snapshot | None
    tail: list[Entry]


class Ended(NamedTuple):
    """Something that a user's row opened and that is over; these are in order.

    Attributes:
        end: when it ended, in microseconds since the epoch.
        seq: the row that opened it.
        user: whose it is.
    """

    end: int
    seq: int
    user: str


class EndedPage(NamedTuple):
    """What was found of what is over.

    Attributes:
        found: that which nobody closed yet, in order.
        last: up to where was looked, None if that is all.
    """

    found: list[Ended]
    last: Ended | None


class Marked(NamedTuple):
    """What was found in a stretch of the log.

    Attributes:
        rows: those that were asked for, oldest first.
        unread: how many positions may have another one, which cannot be read.
        latest: the latest moment at which a row of the stretch took effect, of whatever kind;
            None if no row says so.
    """

    rows: list[Row]
    unread: int
    latest: int | None


class Archivable(NamedTuple):
    """The next step of an archive.

    Attributes:
        last: it takes the rows up to here.
        uncovered: users whose state needs bodies of them, since no snapshot reflects these.
    """

    last: int
    uncovered: list[str]
