"""Ways in which a file is not what was written.

All is pure: of the same file come the same damages.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

SECTOR: Final = 512
PAGE: Final = 4096
BIT_EACH: Final = 256
CUTS: Final = 12
FAR_PAIRS: Final = 8
_WAL_HEADER: Final = 32
_FRAME: Final = PAGE + 24
"""A page in a WAL, with what SQLite says of it."""

BLANK: Final = "sector blanked"
BIT: Final = "bit flipped"
EXCHANGED: Final = "pages exchanged"
CUT: Final = "cut"
GONE: Final = "gone"
EMPTY: Final = "empty"
OLD: Final = "of yesterday"
KINDS: Final = (BLANK, BIT, EXCHANGED, CUT, GONE, EMPTY, OLD)


class Damage(NamedTuple):
    """One damage of one file.

    Attributes:
        file: its name in the directory.
        kind: one of `KINDS`.
        first: where it begins, in bytes; of a cut, how many bytes are left.
        second: where what changes place with it begins, if it is an exchange; of a bit, which.
        length: of each of the two.
    """

    file: str
    kind: str
    first: int = 0
    second: int = 0
    length: int = 0

    def __str__(self) -> str:
        place = f" at {self.first}" if self.kind not in {GONE, EMPTY, OLD} else ""
        return f"{self.file}: {self.kind}{place}" + (f" and {self.second}" if self.length else "")


def all_of(file: str, content: bytes, before: bytes | None) -> list[Damage]:
    """Every damage of a file that makes it another one; ``before`` is what it had yesterday."""
    damages = [
        *(Damage(file, BLANK, at) for at in range(0, len(content), SECTOR)),
        *_bits(file, len(content)),
        *_exchanges(file, len(content)),
        *(Damage(file, CUT, at) for at in _cuts(len(content))),
        *(Damage(file, kind) for kind in (GONE, EMPTY)),
    ]
    if before is not None:
        damages.append(Damage(file, OLD))
    return [damage for damage in damages if damaged(damage, content, before) != content]


def damaged(damage: Damage, content: bytes, before: bytes | None) -> bytes | None:
    """What a file has after a damage, None if it is gone."""
    at, other, length = damage.first, damage.second, damage.length
    if damage.kind == BLANK:
        end = min(at + SECTOR, len(content))
        return content[:at] + bytes(end - at) + content[end:]
    if damage.kind == BIT:
        return content[:at] + bytes([content[at] ^ 1 << other]) + content[at + 1 :]
    if damage.kind == EXCHANGED:
        one, two = content[at : at + length], content[other : other + length]
        return content[:at] + two + content[at + length : other] + one + content[other + length :]
    if damage.kind == CUT:
        return content[:at]
    return {GONE: None, EMPTY: b"", OLD: before}[damage.kind]


def sample(damages: Sequence[Damage], each: int, seed: int) -> list[Damage]:
    """Some of a file's damages: of each kind and page at most ``each``, of few bytes all.

    Each page is hit by each kind that has a place; which places of it is drawn.
    """
    rng = random.Random(f"{seed}.{damages[0].file}")
    places: dict[tuple[str, int], list[Damage]] = {}
    for damage in damages:
        span = 2 * PAGE if damage.kind in {EXCHANGED, CUT} else PAGE
        places.setdefault((damage.kind, damage.first // span), []).append(damage)
    return [
        damage for found in places.values() for damage in rng.sample(found, min(each, len(found)))
    ]


def _bits(file: str, size: int) -> Iterator[Damage]:
    for start in range(0, size, BIT_EACH):
        rng = random.Random(f"{file}.{start}")
        yield Damage(file, BIT, rng.randrange(start, min(start + BIT_EACH, size)), rng.randrange(8))


def _exchanges(file: str, size: int) -> Iterator[Damage]:
    """Neighbours, and some that are far from each other: pages, or sectors of a small file."""
    wal = file.endswith("-wal")
    length = _FRAME if wal else PAGE if size >= 2 * PAGE else SECTOR
    places = range(_WAL_HEADER if wal else 0, size - length + 1, length)
    pairs = set(pairwise(places))
    rng = random.Random(f"{file}.pairs")
    if len(places) > 3:
        for _ in range(FAR_PAIRS):
            one, two = sorted(rng.sample(places, 2))
            pairs.add((one, two))
    for one, two in sorted(pairs):
        yield Damage(file, EXCHANGED, one, two, length)


def _cuts(size: int) -> list[int]:
    """Sectors' ends all over the file, the last one too."""
    sectors = max(size // SECTOR, 1)
    ends = {sectors * number // CUTS * SECTOR for number in range(1, CUTS + 1)}
    return sorted({*ends, size - 1} - {0, size})
