"""Users of a run of the index: who surely has nothing in it, without reading the file.

A Bloom filter for each run, made as those of `persistence.key_filter`: all bits of a user lie in
one word. It has about 10 bits for each user, and says "maybe" of about 3 % of the others, so that
a log of many runs costs a user those that have something of the user, and hardly any other one.
"""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from zlib import crc32

from persistence.key_filter import MASK_COUNT, MASKS, primes
from persistence.sqlite.blocks import Run

BITS: Final = 10
"""For each user, about."""
BYTES_MAX: Final = 32 << 20
"""All filters in memory have at most so many; older runs than fit are always looked into."""
PAUSE_S: Final = 0.0001
_WORD: Final = 4
_WORD_BITS: Final = 32
_SOME: Final = (1 << 61) - 1  # a prime: what is left of a user fits a machine word


class UserFilter:
    """The users of one run; a user who was put in is never said to be surely without rows.

    Args:
        body: its words, as `body_of` makes them.
    """

    __slots__ = ("count", "words")

    def __init__(self, body: bytes) -> None:
        words = array("I", body)
        if sys.byteorder == "big":
            words.byteswap()
        self.words = words
        self.count = len(words)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.count * _WORD


def number_of(user: str) -> int:
    """What all filters look for a user by, below 2**61."""
    return int.from_bytes(user.encode(), "big") % _SOME


def maybe_of(
    runs: Sequence[Run], filters: Mapping[int, UserFilter], users: Iterable[str]
) -> list[Run]:
    """Those of some runs that may have rows of one of the users: all others surely have none.

    Args:
        runs: the runs.
        filters: by the number of the run; one that has none is always among the outcome.
        users: the user ids.
    """
    asked: list[int] = [number_of(user) for user in users]
    found: list[Run] = []
    for run in runs:
        filter_ = filters.get(run[0])
        if filter_ is None:
            found.append(run)
            continue
        words = filter_.words
        count = filter_.count
        for number in asked:
            mask = MASKS[number % MASK_COUNT]
            if words[number % count] & mask == mask:
                found.append(run)
                break
    return found


def put_in(filters: dict[int, UserFilter], run: Run, filter_: UserFilter) -> None:
    """Put in the filter of a run behind all others; the oldest ones leave if they are too many."""
    filters[run.id] = filter_
    above = sum(one.size for one in filters.values()) - BYTES_MAX
    while above > 0:
        above -= filters.pop(next(iter(filters))).size


def body_of(users: Iterable[Sequence[str]], count: int) -> bytes:
    """The words of a filter, each with its least byte first; a thread lets go in between.

    Args:
        users: all users, in lists.
        count: how many they are.
    """
    size = next(primes(count * BITS // _WORD_BITS))
    words = array("I", bytes(size * _WORD))
    for some in users:
        for user in some:
            number = number_of(user)
            words[number % size] |= MASKS[number % MASK_COUNT]
        time.sleep(PAUSE_S)
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


def filter_checksum(run: Run, body: bytes) -> int:
    """What is stored with a filter: it covers the run that it is of, and the file."""
    return crc32(body, crc32(f"users {run.file} {run.id} {run.after} {run.last}\0".encode()))


def filter_of(run: Run, body: object, stored: object) -> UserFilter | None:
    """The filter of a run as the file gives it back, None if it is not as it was written."""
    if not isinstance(body, bytes) or not body or len(body) % _WORD:
        return None
    return UserFilter(body) if filter_checksum(run, body) == stored else None
