"""Whether personal fields that only a backup has may come back: never, if they were erased.

All fields of a user are erased together (`meterd forget`). So a field of the user that the damaged
log still has, at a position that the backup has too, shows that the user was not forgotten since.
One that is erased there, and not in the backup, shows that the user was. If nothing shows either,
the fields stay out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

_Users: TypeAlias = "set[tuple[int, str]]"
"""Pairs of the number of a source and a user."""


@dataclass
class Personal:
    """What is known.

    Attributes:
        needed: of whom rows with personal fields are taken from a source.
        kept: of whom a field is there still.
        forgotten: of whom one was erased since.
    """

    needed: _Users = field(default_factory=set)
    kept: _Users = field(default_factory=set)
    forgotten: _Users = field(default_factory=set)

    def keeps(self, source: int, user: str) -> bool:
        """Whether a row of the user that the source has may have its fields back."""
        return (source, user) in self.kept and (source, user) not in self.forgotten

    def left_out(self) -> int:
        """How many users have rows that were taken from a source without their fields."""
        return len({user for source, user in self.needed if not self.keeps(source, user)})
