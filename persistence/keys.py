"""Idempotency keys: which are surely new, which are known, and which only the log can tell.

The newest keys are in one bounded table of the process. All others are in a Bloom filter: a
key that neither holds is surely new and costs no read; one that the filter may hold is looked
up in the log, off the hot path.

Bloom, "Space/time trade-offs in hash coding with allowable errors", CACM 13 (1970); double
hashing after Kirsch and Mitzenmacher (2006); a filter grows by adding a larger one
(Almeida et al., "Scalable Bloom Filters", 2007).
"""

from __future__ import annotations

from collections import deque
from typing import Final

FIRST_CAPACITY: Final = 1 << 16
_BITS_PER_KEY: Final = 16
_PROBES: Final = 4  # about one false "maybe" in 400 at full capacity


class KeyFilter:
    """A set of (user, key) pairs that answers "surely not" or "maybe".

    It lives and dies with the process, so Python's own salted hash will do.
    """

    def __init__(self, capacity: int = FIRST_CAPACITY) -> None:
        self._capacity = capacity
        self._left = capacity
        self._filters = [bytearray(capacity * _BITS_PER_KEY // 8)]

    def add(self, pair: tuple[str, str]) -> None:
        """Put a pair in."""
        if self._left == 0:
            self._capacity *= 2
            self._left = self._capacity
            self._filters.append(bytearray(self._capacity * _BITS_PER_KEY // 8))
        self._left -= 1
        bits = self._filters[-1]
        size = len(bits) * 8
        place = hash(pair)
        step = place >> 32 | 1
        for _ in range(_PROBES):
            bit = place % size
            bits[bit >> 3] |= 1 << (bit & 7)
            place += step

    def may_hold(self, pair: tuple[str, str]) -> bool:
        """False where the pair was surely never put in."""
        first = hash(pair)
        step = first >> 32 | 1
        for bits in self._filters:
            size = len(bits) * 8
            place = first
            for _ in range(_PROBES):
                bit = place % size
                if not bits[bit >> 3] & 1 << (bit & 7):
                    break
                place += step
            else:
                return True
        return False


class KeyTable:
    """What the process knows of idempotency keys without reading the log.

    Args:
        recent_max: positions of the newest keys that are kept.
    """

    def __init__(self, recent_max: int) -> None:
        self._recent_max = recent_max
        self._recent: dict[tuple[str, str], int] = {}
        # A dict that loses its first key again and again looks for it ever longer.
        self._order: deque[tuple[str, str]] = deque()
        self._older = KeyFilter()

    def surely_new(self, user: str, key: str) -> bool:
        """True where the user never used the key; False says nothing."""
        pair = (user, key)
        return pair not in self._recent and not self._older.may_hold(pair)

    def load(self, pairs: list[tuple[str, str]]) -> None:
        """Take in keys of the log, at start."""
        for pair in pairs:
            self._older.add(pair)

    def remember(self, user: str, key: str, seq: int) -> None:
        """A key was used at a position."""
        pair = (user, key)
        self._recent[pair] = seq
        self._order.append(pair)
        if len(self._order) > self._recent_max:
            oldest = self._order.popleft()
            if self._recent.pop(oldest, None) is not None:
                self._older.add(oldest)

    def forget_after(self, seq: int) -> None:
        """Positions after ``seq`` may be lost: from now on only the log can tell."""
        lost = [pair for pair, position in self._recent.items() if position > seq]
        for pair in lost:
            del self._recent[pair]
            self._older.add(pair)
