"""No memory is left: how that shows, and how the loop hears of it.

A process without memory cannot put anything in order, so whoever owns the loop ends it at once.
What catches every error, to go on, tells the loop of this one first.
"""

from __future__ import annotations

import asyncio
import errno
from typing import Any, Final

_CAUSES_MAX: Final = 8
_SQLITE: Final = (7, 3082)
"""SQLITE_NOMEM, of which Python makes a MemoryError, and SQLITE_IOERR_NOMEM, an error as others."""


def is_exhausted(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, says that no memory is left."""
    for _ in range(_CAUSES_MAX):
        if error is None:
            return False
        if _says_so(error):
            return True
        error = error.__cause__
    return False


def tell_if_exhausted(error: BaseException | None) -> None:
    """Have the running loop's exception handler hear of an error that says so."""
    if is_exhausted(error):
        context = {"message": "no memory is left", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def tell_of(task: asyncio.Task[Any]) -> None:
    """Have the loop's exception handler hear what a task died of: a callback of the task.

    Of a task that is kept and that nobody awaits the loop would hear at the process's end.
    """
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler(
            {"message": f"task {task.get_name()} failed", "exception": error, "task": task}
        )


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if getattr(error, "sqlite_errorcode", 0) in _SQLITE:
        return True
    text = str(error)
    return (isinstance(error, RuntimeError) and "can't start new thread" in text) or (
        isinstance(error, ImportError) and ("failed to map" in text or "allocate memory" in text)
    )
