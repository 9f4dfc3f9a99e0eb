"""Users from the greatest down, by what a period of each counts: the first ones of all.

All users are looked at, and as many are kept as a page shows; the next page looks at all again.
So a page takes no more memory however many users there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Final

from messages.catalog import UserEntry
from messages.units import to_micros

NANO_DIGITS: Final = 9
_UNKNOWN: Final = -1
"""Of who cannot be read, or never called: they come last."""

Place = tuple[int, str]
"""What users are in order of: the value, negative, then the id."""


def value_of(user: UserEntry, sort: str) -> int:
    """What a user is ranked by."""
    found = getattr(user, "last_updated" if sort == "last_updated" else f"total_{sort}")
    if found is None:
        return _UNKNOWN
    if sort == "last_updated":
        return to_micros(found)
    return int(found.scaleb(NANO_DIGITS)) if sort == "cost" else int(found)


class Ranking:
    """The first users behind a place.

    Args:
        sort: by what.
        count: how many are kept.
        after: where the page before ended, None for the first page.
    """

    def __init__(self, sort: str, count: int, after: Place | None) -> None:
        self._sort = sort
        self._count = count
        self._after = after
        self._kept: list[tuple[Place, UserEntry]] = []

    def take(self, users: Iterable[UserEntry]) -> None:
        """Look at users."""
        for user in users:
            place = (-value_of(user, self._sort), user.user_id)
            if self._after is None or place > self._after:
                self._kept.append((place, user))
        if len(self._kept) > 2 * self._count:
            self._cut()

    def best(self) -> list[tuple[Place, UserEntry]]:
        """Those that are kept, in order."""
        self._cut()
        return self._kept

    def _cut(self) -> None:
        self._kept.sort(key=itemgetter(0))
        del self._kept[self._count :]


def text_of(place: Place) -> str:
    """A place as a cursor has it."""
    return f"{place[0]}:{place[1]}"


def place_of(text: str) -> Place:
    """The place that a cursor has.

    Raises:
        ValueError: it has none.
    """
    value, _, user = text.partition(":")
    return int(value), user
