"""What is raised if this version cannot read stored bytes.

Unreadable
└── UnreadableEvent    a row of the log; names its kind, and its position if that is known
"""

from __future__ import annotations


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
