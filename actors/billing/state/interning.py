"""What many users have in common is one object.

A live user has few things of its own: no alerts, no closed periods, the plan and the month of
everybody else. To give each user empty dicts of its own, and strings as they were decoded, took
600 bytes a user, and 3 KB if the terms of a plan were decoded from the log.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any, Final, NoReturn, TypeVar

FEW: Final = 24
"""Items of a dict that is looked for among those of others: the months of two years."""
_T = TypeVar("_T")


class Shared(dict[str, _T]):
    """A dict that many have, so nobody may write to it; a writer takes `owned`."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a shared dict is not written to")

    __setitem__: Any = _refuse
    __delitem__: Any = _refuse
    __ior__: Any = _refuse
    setdefault: Any = _refuse
    update: Any = _refuse
    clear: Any = _refuse
    popitem: Any = _refuse
    pop: Any = _refuse


NOTHING: Final[dict[str, Any]] = Shared()


def owned(mapping: dict[str, _T]) -> dict[str, _T]:
    """The dict itself, or a copy to write to if it is shared."""
    return dict(mapping) if type(mapping) is Shared else mapping


def shared(mapping: dict[str, int]) -> dict[str, int]:
    """One dict for equal ones of few items in the same order; many items are seldom the same."""
    if not mapping:
        return NOTHING
    return _shared(tuple(mapping.items())) if len(mapping) <= FEW else Shared(mapping)


@lru_cache(maxsize=4096)
def _shared(items: tuple[tuple[str, int], ...]) -> dict[str, int]:
    return Shared(items)


@lru_cache(maxsize=4096)
def span(key: str, start: int, end: int) -> tuple[str, int, int]:
    """A period's key, start and end, each one object for all users."""
    return sys.intern(key), start, end
