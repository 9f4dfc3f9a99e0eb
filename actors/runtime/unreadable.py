"""What a caller hears if what it needs of the log cannot be read: the one translation of it."""

from __future__ import annotations

import math
from typing import Final

from messages.errors import RequestError
from messages.stored.errors import Unreadable
from persistence.damage import tell
from persistence.errors import ArchiveDamaged, ArchiveUnreadable, BeingMade, Corrupt, JournalError

FAILED: Final = (JournalError, Unreadable)
"""What a read of the log raises: the journal, and what is made of a row of it."""
RETRY_MIN_S: Final = 1
RETRY_MAX_S: Final = 3_600
"""A caller is not sent away for longer, however long it takes to make a file anew."""


def has_its_line(error: Exception) -> bool:
    """Whether the log says it once for a place or a file, and not for each who meets it."""
    return isinstance(error, Corrupt | ArchiveDamaged | Unreadable | BeingMade)


def refusal_of(error: Exception, otherwise: str, user: str | None = None) -> RequestError:
    """``unavailable``, for what could not be read; of damage the log has its line then.

    Args:
        error: what the read raised.
        otherwise: what is said of an error that names nothing a caller could tell an operator.
        user: whose request it is.

    Returns:
        Not retryable if stored bytes are damaged, with the position if it is known. While a file
        is made anew, with the whole seconds that this takes still.
    """
    if isinstance(error, ArchiveUnreadable):
        if isinstance(error, ArchiveDamaged):
            tell(error, user)
        retryable = not isinstance(error, ArchiveDamaged)
        return RequestError("unavailable", f"not executed: {error}", retryable=retryable)
    if isinstance(error, Corrupt | Unreadable):
        message = f"not executed: {tell(error, user)}"
        return RequestError("unavailable", message, retryable=False)
    if isinstance(error, BeingMade):
        seconds = math.ceil(min(max(error.retry_s, RETRY_MIN_S), RETRY_MAX_S))
        return RequestError("unavailable", f"not executed: {error}", retry_after=seconds)
    return RequestError("unavailable", otherwise)
