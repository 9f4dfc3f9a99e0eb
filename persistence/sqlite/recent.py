"""The rows of one lump of the log that the file of the index does not have yet, in memory.

It has all that a run of the file has, so that a run is made of it without a look at the log.
"""

from __future__ import annotations

from array import array
from bisect import insort
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final
from zlib import crc32

from messages.stored.form import Form, reader_of
from persistence.records import Row
from persistence.sqlite.blocks import POSITION, POSITION_BITS
from persistence.sqlite.recent_users import RecentUsers
from persistence.sqlite.sections import NOTICE

_MARK_BYTES: Final = 4


class Rows:
    """Positions, and the mark of each one's key, 0 for none, as bytes that can be searched."""

    __slots__ = ("marks", "positions")

    def __init__(self) -> None:
        self.positions = array("Q")
        self.marks = bytearray()

    def add(self, position: int, mark: int) -> None:
        """Take in a position that is behind all others."""
        self.positions.append(position)
        self.marks += mark.to_bytes(_MARK_BYTES, "little")

    def marked(self, mark: int) -> Iterator[int]:
        """The positions with that mark."""
        wanted, at = mark.to_bytes(_MARK_BYTES, "little"), 0
        while (at := self.marks.find(wanted, at)) >= 0:
            if at % _MARK_BYTES == 0:  # not the end of one mark and the beginning of the next
                yield self.positions[at // _MARK_BYTES]
            at += 1


class RecentPositions:
    """Positions by user, oldest first, with a mark of their keys; and the rare rows by kind.

    So a key of a busy user is looked up without reading the user's rows: of 4,000,000,000 rows
    with other keys one has the same mark. If all users are called seldom each has one row in a
    tail: that is one number, since anything else takes several times as much.

    Args:
        form: says which rows are rare, which end something, and which open something.

    Attributes:
        count: how many rows it has.
        last: the newest position.
        anchor: marks the row there, as `provenance.anchor_at`.
        users: who has rows in it: a position and a mark as one number, or several.
        names: the same users in order.
        ends: the same of rows that end what another one began, with the mark of its key.
        kinds: positions of rare rows by kind and user; by `NOTICE`, of those that notify.
        notices: positions of all rows that notify.
        over: for each row that opens something, its end and its position as one number; in order.
    """

    def __init__(self, form: Form) -> None:
        self.count = 0
        self.last = 0
        self.anchor = ""
        self.users: dict[str, int | Rows] = {}
        self.names = RecentUsers()
        self.ends: dict[str, int | Rows] = {}
        self.kinds: dict[str, dict[str, int | list[int]]] = {}
        self.notices = array("Q")
        self.over: list[int] = []
        self._ending = form.ending
        self._common = frozenset(form.common())
        self._span = form.span
        may_end = form.ending.may_end
        self._usual = may_end if may_end in self._common else ""
        self._named = f'"{form.ending.named}":'

    def add(self, rows: Sequence[Row]) -> None:
        """Take in rows, in order and with their bodies."""
        users, names = self.users, self.names.unsorted
        usual, named = self._usual, self._named
        for row in rows:
            seq: int = row[0]
            user: str = row[2]
            key: str | None = row[3]
            mark = 0 if key is None else crc32(key.encode()) or 1
            before = users.get(user)
            if before is None:
                users[user] = seq | mark << POSITION_BITS
                names.append(user)
            elif isinstance(before, int):
                users[user] = _both(before, seq, mark)
            else:
                before.add(seq, mark)
            if row[4] != usual or row[6]:
                self._add_rare(row)
            elif named in row[7]:
                self._add_end(row)
        self.count += len(rows)
        row = rows[-1]
        self.last = row[0]
        self.anchor = f"{row[2]} {row[5]} {row[3] or ''}"

    def _add_rare(self, row: Row) -> None:
        """Take in what a row is that is of another kind than most, or notifies."""
        seq, _, user, _, kind, _, notify, body, _ = row
        if kind not in self._common:
            _put(self.kinds, kind, user, seq)
        if notify:
            _put(self.kinds, NOTICE, user, seq)
            self.notices.append(seq)
        if kind == self._span.opens:
            end = end_of(body, self._span.end)
            if end is not None:
                insort(self.over, end << POSITION_BITS | seq)
        if self._named in body:
            self._add_end(row)

    def _add_end(self, row: Row) -> None:
        key = self._ending.key_of(row[4], row[7])
        if key is not None:
            seq, user, mark = row[0], row[2], mark_of(key)
            before = self.ends.get(user)
            if before is None:
                self.ends[user] = seq | mark << POSITION_BITS
            elif isinstance(before, int):
                self.ends[user] = _both(before, seq, mark)
            else:
                before.add(seq, mark)

    def of(self, user: str) -> Sequence[int]:
        """The positions of a user."""
        found = self.users.get(user)
        if found is None:
            return ()
        return (found & POSITION,) if isinstance(found, int) else found.positions

    def of_kind(self, user: str, kind: str) -> Sequence[int]:
        """The positions of a user's rows of a rare kind; of `NOTICE`, those that notify."""
        users = self.kinds.get(kind)
        found = None if users is None else users.get(user)
        if found is None:
            return ()
        return (found,) if isinstance(found, int) else found

    def maybe(self, user: str, keys: Collection[str]) -> list[int]:
        """The positions of a user's rows that may have one of these keys."""
        return marked(self.users, user, {mark_of(key) for key in keys})

    def maybe_ended(self, user: str, keys: Collection[str]) -> list[int]:
        """The positions of a user's rows that may have ended what one of these keys began."""
        return marked(self.ends, user, {mark_of(key) for key in keys})


def mark_of(key: str) -> int:
    """32 bits of a key, never 0; the file has them."""
    return crc32(key.encode()) or 1


def marked(users: Mapping[str, int | Rows], user: str, marks: Collection[int]) -> list[int]:
    """The positions of a user that have one of these marks, in order."""
    found = users.get(user)
    if found is None:
        return []
    if isinstance(found, int):
        return [found & POSITION] if found >> POSITION_BITS in marks else []
    return sorted([seq for mark in marks for seq in found.marked(mark)])


def end_of(body: str, name: str) -> int | None:
    """When what a row opened ends, None if its body does not say."""
    try:
        (end,) = reader_of((name,))(body)
    except ValueError:  # a damaged body, which whoever reads it is told of
        return None
    return end if type(end) is int and 0 <= end < 1 << 63 else None


def _both(before: int, seq: int, mark: int) -> Rows:
    many = Rows()
    many.add(before & POSITION, before >> POSITION_BITS)
    many.add(seq, mark)
    return many


def _put(kinds: dict[str, dict[str, int | list[int]]], kind: str, user: str, seq: int) -> None:
    users = kinds.setdefault(kind, {})
    before = users.get(user)
    if before is None:
        users[user] = seq
    elif isinstance(before, int):
        users[user] = [before, seq]
    else:
        before.append(seq)
