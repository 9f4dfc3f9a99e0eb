"""What is raised if this version cannot read stored bytes.

Unreadable
└── UnreadableEvent    a row of the log; names its kind, and its position if that is known
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MISFITS: Final = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""What is raised where something is made of an event that says what it cannot say."""


class Unreadable(Exception):
    """Stored bytes are damaged, or were written by a newer version.

    Attributes:
        why: what is wrong with them, for people.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class UnreadableEvent(Unreadable):
    """An event cannot be decoded, or cannot take effect.

    Attributes:
        kind: its kind.
        seq: its position in the log, None if that is not known.
    """

    def __init__(self, kind: str, why: str, seq: int | None = None) -> None:
        super().__init__(why)
        self.kind = kind
        self.seq = seq

    def __str__(self) -> str:
        row = "an event" if self.seq is None else f"row {self.seq}"
        return f"{row} ({self.kind}) cannot be read: {self.why}"


@contextmanager
def made_of(kind: str, seq: int) -> Iterator[None]:
    """Around what is made of a stored event alone: what does not fit is an unreadable row.

    Args:
        kind: the kind of the event.
        seq: its position.

    Raises:
        UnreadableEvent: with that position.
    """
    try:
        yield
    except MISFITS as error:
        raise UnreadableEvent(kind, f"{type(error).__name__}: {error}", seq) from error
