"""What can go wrong with an import.

ImporterError
├── BadInput       the file or an option cannot be used; nothing was sent
├── RowRefused     one row is not counted; the others go on
└── ServiceLost    no answers for longer than the patience; a rerun goes on from there
"""

from __future__ import annotations


class ImporterError(Exception):
    """The root of the errors of an import."""


class BadInput(ImporterError):
    """The file or an option cannot be used; the message says why."""


class BadValue(ImporterError):
    """A value does not fit its field; the message says why."""


class RowRefused(ImporterError):
    """One row cannot become usage; ``field`` is None if the row itself is malformed."""

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason if field is None else f"{field}: {reason}")
        self.field = field


class ServiceLost(ImporterError):
    """The service gave no answer for longer than the patience."""
