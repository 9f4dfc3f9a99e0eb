"""Damage is said once for each place; and where a second copy of the log will plug in.

Whoever hears of damage calls `tell`: who reads the rows, and who has to refuse a request, or to go
on without them. The first one writes the line; the bytes stay as they are until somebody mends
them, so all others have nothing to add.

Every damaged row that anybody needs comes through `Told.tell`, as `Damaged` with its first and its
last position. Where a log has a second copy one day, it is told of damage there, and the rows are
asked of it by `EventLog.rows`: those that fit their place in the chain are put where the damaged
ones are. Meanwhile `BeingMade` takes the place of `Damaged`, so that callers come again.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import structlog

from messages.stored.errors import Unreadable, UnreadableEvent
from persistence.errors import ArchiveDamaged, Corrupt, Damaged, JournalError

LOG: Final = "meterd.db"
"""The file of the log, in which a row stands that cannot be read."""
ARCHIVE: Final = "archive"
"""The directory of archived bodies."""
MEND: Final = "stop the service, and run meterd mend with a backup; meterd verify says what is lost"
"""What an operator can do about damage of the log."""
PUT_BACK: Final = "put back a copy of the file; meterd verify says which rows it has"
PLACES_MAX: Final = 1_000
"""Places that are told of; `meterd verify` lists them all."""

Damage: TypeAlias = Corrupt | ArchiveDamaged | Unreadable
"""What is raised where stored bytes are not as they were written, and nothing makes them anew."""

_log = structlog.get_logger(__name__)


def damaged_of(error: Damage) -> Damaged:
    """What is damaged, where, and what to do, of any error that says that something is."""
    if isinstance(error, Damaged):
        return error
    if isinstance(error, UnreadableEvent) and error.seq is not None:
        why = f"{error.kind}: {error.why}"
        return Damaged(LOG, f"row {error.seq}", MEND, first=error.seq, why=why)
    if isinstance(error, ArchiveDamaged):
        return Damaged(ARCHIVE, "a file", PUT_BACK, why=str(error))
    return Damaged(LOG, "a part", MEND, why=str(error))


def in_full(error: JournalError) -> str:
    """An error for people, in one line; of damage it names the file and says what to do."""
    if not isinstance(error, Corrupt):
        return str(error)
    damaged = damaged_of(error)
    return f"{damaged}: {damaged.do}"


class Told:
    """The places that were told of.

    Args:
        places_max: how many are; of further ones one line says that there are.
    """

    def __init__(self, places_max: int = PLACES_MAX) -> None:
        self._places_max = places_max
        self._places = set[tuple[str, str, str]]()
        self._over = False

    def forget(self) -> None:
        """Tell of each place again, as another process does."""
        self._places.clear()
        self._over = False

    def tell(self, error: Damage, user: str | None = None) -> Damaged:
        """Write a line if it is the first about a place; returns what is damaged.

        Args:
            error: what was raised.
            user: whose request or state needs it, if that is known.
        """
        damaged = damaged_of(error)
        # Without a position, what is said of it is all that tells places apart.
        known = "" if damaged.first is not None else damaged.why
        place = (damaged.file, damaged.place, known)
        if place in self._places or self._over:
            return damaged
        if len(self._places) >= self._places_max:
            self._over = True
            _log.error("damaged_further", places=self._places_max, do="run meterd verify")
            return damaged
        self._places.add(place)
        more = {"first": damaged.first, "last": damaged.last, "why": damaged.why, "user": user}
        said = {name: value for name, value in more.items() if value not in {None, ""}}
        _log.error("damaged", file=damaged.file, place=damaged.place, do=damaged.do, **said)
        return damaged


TOLD: Final = Told()
"""The places that this process has told of."""
tell = TOLD.tell
