"""The rows of one lump of the log that the file of the index does not have yet, in memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from persistence.sqlite.recent_users import RecentUsers

_POSITION_BITS: Final = 48
_POSITION: Final = (1 << _POSITION_BITS) - 1
_MARK: Final = 0xFFFF
_MARK_BYTES: Final = 2


class _Rows:
    """Positions, and 16 bits of the hash of each one's key, as bytes that can be searched."""

    __slots__ = ("marks", "positions")

    def __init__(self) -> None:
        self.positions = array("Q")
        self.marks = bytearray()

    def add(self, position: int, mark: int) -> None:
        self.positions.append(position)
        self.marks += mark.to_bytes(_MARK_BYTES, "big")

    def marked(self, mark: int) -> Iterator[int]:
        """The positions with that mark."""
        wanted, at = mark.to_bytes(_MARK_BYTES, "big"), 0
        while (at := self.marks.find(wanted, at)) >= 0:
            if at % _MARK_BYTES == 0:  # not the end of one mark and the beginning of the next
                yield self.positions[at // _MARK_BYTES]
            at += 1


class RecentPositions:
    """Positions by user, oldest first, with a few bits of their keys.

    So a key of a busy user is looked up without reading the user's rows: of 65,536 rows with
    other keys one has the same bits. If all users are called seldom each has one row in a
    tail: that is one number, since anything else takes several times as much.

    Attributes:
        count: how many rows it has.
        last: the newest position.
        users: who has rows in it.
        names: the same users in order.
        ends: of the rows up to ``looked``, those that end what another one began, by its key.
        looked: up to where somebody has looked for them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.last = 0
        self.users: dict[str, int | _Rows] = {}
        self.names = RecentUsers()
        self.ends: RecentPositions | None = None
        self.looked = 0

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take in rows, of which the first four fields are those of a `Row`."""
        users, names = self.users, self.names.unsorted
        for row in rows:
            seq: int = row[0]
            user: str = row[2]
            key: str | None = row[3]
            mark = _mark(key)
            before = users.get(user)
            if before is None:
                users[user] = seq | mark << _POSITION_BITS
                names.append(user)
                continue
            if isinstance(before, int):
                many = _Rows()
                many.add(before & _POSITION, before >> _POSITION_BITS)
                users[user] = before = many
            before.add(seq, mark)
        self.count += len(rows)
        self.last = rows[-1][0]

    def of(self, user: str) -> Sequence[int]:
        """The positions of a user."""
        found = self.users.get(user)
        if found is None:
            return ()
        return (found & _POSITION,) if isinstance(found, int) else found.positions

    def after(self, user: str, after: int, limit: int) -> Sequence[int]:
        """The first positions of a user after one."""
        found = self.of(user)
        start = bisect_right(found, after)
        return found[start : start + limit]

    def before(self, user: str, before: int, limit: int) -> Sequence[int]:
        """The last positions of a user before one, newest first."""
        found = self.of(user)
        end = bisect_left(found, before)
        return found[max(end - limit, 0) : end][::-1]

    def maybe(self, user: str, keys: Collection[str]) -> list[int]:
        """The positions of a user's rows that may have one of these keys."""
        found = self.users.get(user)
        marks = {_mark(key) for key in keys}
        if found is None:
            return []
        if isinstance(found, int):
            return [found & _POSITION] if found >> _POSITION_BITS in marks else []
        return sorted([seq for mark in marks for seq in found.marked(mark)])


def _mark(key: str | None) -> int:
    return 0 if key is None else hash(key) & _MARK
