"""Idempotency keys: which ones are surely new, without reading the log.

A Bloom filter over all keys that were ever used: a key that it does not hold is surely new,
which nearly every key is; one that it may hold is looked up in the log, off the hot path. A
key whose row was lost stays in it, which costs a look and does no harm.

Each pair sets its bits within one word, so that a look costs one access of memory ("blocked"
filter: Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007).
The filter grows by adding a larger one (Almeida et al., "Scalable Bloom Filters", 2007). Each
one more costs every look, and misleads by itself: so the first is small, for most never have
more keys, and has more room for each pair; the second is large, and the third far away.

A filter is kept in a file and read by later processes (`sqlite.key_filter_store`), so a pair's
place cannot come from Python's own salted hash. Its bytes are one large number, whose
remainders by two primes are the place and the mask ("division hashing"): Python divides by a
number below 2**30 in one quick pass, faster than it computes any digest. For the same reason,
speed, a word has no more bits than one digit of Python's integers.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from math import exp, isqrt
from typing import Final

VERSION: Final = 1
"""Version of places and masks: a kept filter of another version cannot be used."""
FIRST_CAPACITY: Final = 2_560_000
ENOUGH: Final = 10_250_000
WORD_BYTES: Final = 4
_PER_WORD_FIRST: Final = 1.0
_PER_WORD: Final = 4 / 3
"""Pairs for each word of the first filter and of the others: 4 bytes for each pair, and 3. Full,
they say "maybe" of 0.2 % and 0.4 % of new pairs."""
_WORDS_MAX: Final = 1 << 29
_WORD_BITS: Final = 30
_PLACES_OF_BITS: Final = (0, 12, 24, 36, 48)
# A table of this many masks stays in the cache; with fewer, pairs that share a word would share
# a mask more often than the bits themselves mislead.
MASK_COUNT: Final = 4019

_number: Final = int.from_bytes


def _mask(number: int) -> int:
    """A word with (nearly always) five bits set: they come from a scrambled number."""
    scrambled = (number + 1) * 0x9E3779B97F4A7C15 % (1 << 64)  # the end of SplitMix64
    scrambled = (scrambled ^ scrambled >> 30) * 0xBF58476D1CE4E5B9 % (1 << 64)
    scrambled = (scrambled ^ scrambled >> 27) * 0x94D049BB133111EB % (1 << 64)
    scrambled ^= scrambled >> 31
    mask = 0
    for place in _PLACES_OF_BITS:
        mask |= 1 << (scrambled >> place & 4095) % _WORD_BITS
    return mask


MASKS: Final = tuple(_mask(number) for number in range(MASK_COUNT))
"""Words with five bits set; that of a number is at its remainder by `MASK_COUNT`."""


class Part:
    """One of the filters of a `KeyFilter`, as it is kept.

    Attributes:
        words: of `WORD_BYTES`; how many there are is a prime.
        left: how many words may still get a first pair before the filter is full.
    """

    __slots__ = ("left", "words")

    def __init__(self, words: memoryview[int], left: int) -> None:
        self.words = words
        self.left = left


class KeyFilter:
    """A set of (user, key) pairs that answers "surely new" or "maybe not".

    Args:
        capacity: how many pairs the first filter is for.
        enough: how many it is for with the second one; each further one has as many words as
            all before it.

    Attributes:
        complete: whether it holds all that was ever put in. While it does not, nothing is surely
            new; what is put in meanwhile is there.
    """

    complete: bool
    _words: memoryview[int]
    _count: int
    _left: int

    def __init__(self, capacity: int = FIRST_CAPACITY, enough: int = ENOUGH) -> None:
        self.complete = True
        self._capacity = capacity
        self._enough = enough
        self._full: tuple[tuple[int, memoryview[int]], ...] = ()
        self._open(int(capacity / _PER_WORD_FIRST), _PER_WORD_FIRST)

    def expect(self, pairs: int) -> None:
        """Have room for this many pairs in one filter; it has none yet."""
        if pairs <= self._capacity:
            return
        capacity = self._enough
        while capacity < pairs:
            capacity *= 2
        self._open(int(capacity / _PER_WORD), _PER_WORD)

    def surely_new(self, user: str, key: str) -> bool:
        """True if the pair was never put in; False says nothing."""
        pair = _number(f"{user} {key}".encode())
        mask = MASKS[pair % MASK_COUNT]
        if self._words[pair % self._count] & mask == mask:
            return False
        # Not any(): a generator costs more than the usual single round.
        for count, words in self._full:
            if words[pair % count] & mask == mask:
                return False
        return self.complete

    def claim(self, user: str, key: str) -> bool:
        """Put a pair in; True if it surely was not in before."""
        pair = _number(f"{user} {key}".encode())
        mask = MASKS[pair % MASK_COUNT]
        words = self._words
        at = pair % self._count
        word = words[at]
        if word & mask == mask:
            return False
        for count, full in self._full:
            if full[pair % count] & mask == mask:
                return False
        words[at] = word | mask
        # The words in use say how full it is as well as a count of the pairs, and are counted
        # at half of them only.
        if not word:
            self._left -= 1
            if self._left <= 0:
                self._grow()
        return self.complete

    def parts(self) -> list[Part]:
        """All that there is to keep, oldest first; in their words bits go on being set."""
        return [*(Part(words, 0) for _, words in self._full), Part(self._words, self._left)]

    def restore(self, parts: Sequence[Part]) -> None:
        """Become the filter that `parts`, one at least, were taken of."""
        newest = parts[-1]
        self._words, self._left = newest.words, newest.left
        self._full = tuple([(len(part.words), part.words) for part in parts[:-1]])
        self._count = len(self._words)

    def _grow(self) -> None:
        self._full = (*self._full, (self._count, self._words))
        words = sum(count for count, _ in self._full)
        missing = self._enough - int(words * _PER_WORD_FIRST)
        self._open(max(words, int(missing / _PER_WORD)), _PER_WORD)

    def _open(self, words: int, per_word: float) -> None:
        self._count = next(primes(min(words, _WORDS_MAX)))
        # With as many pairs as it is for, this share of the words has none.
        self._left = self._count - int(self._count * exp(-per_word))
        self._words = empty_words(self._count)


def empty_words(count: int) -> memoryview[int]:
    """So many words without any bit, whose pages take memory when they are first written."""
    # Not of malloc, which would clear them all, and keep as much for later once they are freed.
    size = count * WORD_BYTES
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)).cast("I")


def primes(at_least: int) -> Iterator[int]:
    """The odd primes from there on: so many words have a filter that divides by their count."""
    number = max(3, at_least | 1)
    while True:
        if all(number % divisor for divisor in range(3, isqrt(number) + 1, 2)):
            yield number
        number += 2
