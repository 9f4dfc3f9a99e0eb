"""Idempotency keys: which ones are surely new, without reading the log.

A Bloom filter over all keys that were ever used: a key that it does not hold is surely new,
which nearly every key is; one that it may hold is looked up in the log, off the hot path. A
key whose row was lost stays in it, which costs a look and does no harm.

Each pair sets its bits within one word, so that a look costs one access of memory ("blocked"
filter: Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007).
The filter grows by adding a larger one (Almeida et al., "Scalable Bloom Filters", 2007).
"""

from __future__ import annotations

from array import array
from typing import Final

FIRST_CAPACITY: Final = 1 << 18
GROWTH: Final = 4
_WORD_BITS: Final = 64
_BITS_PER_PAIR: Final = 24


def _mask(number: int, bits: int) -> int:
    """A word with (nearly always) so many bits set: they come from a scrambled number."""
    scrambled = number * 0x9E3779B97F4A7C15 % (1 << 64) >> 34  # Knuth's multiplicative hash
    return sum({1 << (scrambled >> 6 * place & 63) for place in range(bits)})


# A pair sets the bits of one mask of each: two small tables stay in the cache, and one large
# one, or five shifts, take longer.
_THREE_BITS: Final = tuple(_mask(number, 3) for number in range(1, 257))
_TWO_BITS: Final = tuple(_mask(number, 2) for number in range(257, 513))
_MASK_BITS: Final = 16


class KeyFilter:
    """A set of (user, key) pairs that answers "surely new" or "maybe not".

    It lives and dies with the process, so Python's own salted hash will do.

    Args:
        capacity: how many pairs the first filter is for; each further one is for `GROWTH` times
            as many.
    """

    _words: array[int]

    def __init__(self, capacity: int = FIRST_CAPACITY) -> None:
        self._full: list[array[int]] = []
        self._open(capacity)

    def surely_new(self, user: str, key: str) -> bool:
        """True where the pair was never put in; False says nothing."""
        place = hash((user, key))
        mask = _THREE_BITS[place & 255] | _TWO_BITS[place >> 8 & 255]
        place >>= _MASK_BITS
        if self._words[place % len(self._words)] & mask == mask:
            return False
        # Not any(): a generator costs more than the usual single round.
        for words in self._full:  # noqa: SIM110
            if words[place % len(words)] & mask == mask:
                return False
        return True

    def claim(self, user: str, key: str) -> bool:
        """Put a pair in; True where it surely was not in before."""
        place = hash((user, key))
        mask = _THREE_BITS[place & 255] | _TWO_BITS[place >> 8 & 255]
        place >>= _MASK_BITS
        words = self._words
        at = place % len(words)
        word = words[at]
        if word & mask == mask:
            return False
        for full in self._full:
            if full[place % len(full)] & mask == mask:
                return False
        if self._left:
            self._left -= 1
            words[at] = word | mask
        else:
            self.add(user, key)
        return True

    def add(self, user: str, key: str) -> None:
        """Put a pair in."""
        if self._left == 0:
            self._full.append(self._words)
            self._open(self._capacity * GROWTH)
        self._left -= 1
        place = hash((user, key))
        mask = _THREE_BITS[place & 255] | _TWO_BITS[place >> 8 & 255]
        self._words[(place >> _MASK_BITS) % len(self._words)] |= mask

    def reserve(self, count: int) -> None:
        """Make room for so many more pairs at once, so that a look asks few filters."""
        if count > self._left:
            self._full.append(self._words)
            self._open(count)

    def _open(self, capacity: int) -> None:
        self._capacity = self._left = capacity
        words = -(-capacity * _BITS_PER_PAIR // _WORD_BITS)
        self._words = array("Q", bytes(words * _WORD_BITS // 8))
