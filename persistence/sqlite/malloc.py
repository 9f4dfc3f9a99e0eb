"""Gives free memory back to the system, if malloc can be asked for that."""

from __future__ import annotations

import ctypes
from collections.abc import Callable


def _found() -> Callable[[int], object] | None:
    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # it is of glibc
        return None
    return found


_malloc_trim = _found()


def give_back() -> None:
    """Give all empty pages back; does nothing if malloc cannot.

    By itself malloc gives back only what lies at the end of its heap.
    """
    if _malloc_trim is not None:
        _malloc_trim(0)
