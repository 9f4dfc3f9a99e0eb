"""Blocks of the index: how they are made, and what has to hold before one is believed.

A section of a run is a row of blocks. Each has the entries from its first bound up to the next
block's, and they cover everything from the least bound to the greatest. So that something is not
there is only said by a block that covers it, and a block that is missing, of another place or of
another file is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

LEAST: Final = ""
TOP: Final = "\U0010ffff" * 40
"""Above every bound: a user id has 32 such characters at the most."""
BODY_BYTES: Final = 600
"""About what a block has: six of them and their heads fill a page. It is compared as a whole."""
POSITION_BITS: Final = 48
POSITION: Final = (1 << POSITION_BITS) - 1
_END: Final = "\x1e"  # behind a term: it sorts before whatever could follow in a longer one
_DIGITS: Final = 9  # of a number and its comma, about

_encode: Final = msgspec.json.Encoder().encode
_body: Final = msgspec.json.Decoder(dict[str, list[int]]).decode
_numbers: Final = msgspec.json.Decoder(list[int]).decode


class Run(NamedTuple):
    """A lump of the log in the file.

    Attributes:
        id: 1 for the first.
        after: it has the rows behind this position,
        last: up to this one.
        file: marks the file that it is in, so that no block of another one passes for its.
    """

    id: int
    after: int
    last: int
    file: int


class Block(NamedTuple):
    """A block as it is stored: its bounds, and its entries as JSON: numbers by term."""

    first: str
    next: str
    body: bytes


def bound(term: str, number: int = 0) -> str:
    """The bound before an entry of one number; numbers are in 0 to 2**64 - 1."""
    return f"{term}{_END}{number:016x}"


def pair_bound(term: str, number: int, position: int = 0) -> str:
    """The bound before an entry of two numbers."""
    return f"{term}{_END}{number:016x}{position:012x}"


def behind(term: str) -> str:
    """The bound behind all entries of a term."""
    return f"{term}\x1f"


def checksum(run: Run, section: int, block: Block) -> int:
    """What is stored with a block: it covers its place and all that it says."""
    first, after, body = block
    return checksum_of(checksum_of_place(run, section), first, after, body)


def checksum_of_place(run: Run, section: int) -> int:
    """What the checksums of all blocks of a section of a run begin with."""
    _, after, last, file = run
    return crc32(f"{file} {after} {last} {section} ".encode())


def checksum_of(place: int, first: str, after: str, body: bytes) -> int:
    """As `checksum`, of a place as `checksum_of_place` gives it."""
    return crc32(body, crc32(f"{first}\0{after}\0".encode(), place))


def run_checksum(run: Run) -> int:
    """What is stored with a run."""
    return crc32(repr(tuple(run)).encode())


def cut(entries: Iterable[tuple[str, list[int]]], step: int) -> Iterator[Block]:
    """The blocks of a section.

    Args:
        entries: terms in order, with their numbers in order; a term may come several times.
        step: how many numbers an entry has, 1 or 2.
    """
    first, body, size = LEAST, dict[str, list[int]](), 0
    for term, numbers in entries:
        begin = 0
        while begin < len(numbers):
            if size >= BODY_BYTES:
                # What asks for all of a term has one block to read, if it begins with that term.
                fresh = begin == 0 and term not in body
                after = _begin_of(term, step) if fresh else _bound_of(term, numbers, begin, step)
                yield Block(first, after, _encode(body))
                first, body, size = after, {}, 0
            end = begin + max(BODY_BYTES - size, 0) // _DIGITS // step * step + step
            few = len(numbers) * _DIGITS <= BODY_BYTES  # are not cut: who asks reads one block
            some = numbers if begin == 0 and (few or end >= len(numbers)) else numbers[begin:end]
            begin += len(some)
            if term in body:
                body[term] += some
            else:
                body[term] = some
                size += len(term) + 6
            size += len(some) * _DIGITS
    yield Block(first, TOP, _encode(body))


def _begin_of(term: str, step: int) -> str:
    return bound(term) if step == 1 else pair_bound(term, 0)


def _bound_of(term: str, numbers: Sequence[int], at: int, step: int) -> str:
    if step == 1:
        return bound(term, numbers[at])
    return pair_bound(term, numbers[at], numbers[at + 1])


def numbers_of(body: bytes, term: str) -> list[int]:
    """The numbers of one term of a body that was checked; the others are not looked at."""
    name = _encode(term) + b":["
    at = body.find(name)
    # Within another term the quote that begins it would have a backslash before it.
    while at > 0 and body[at - 1] not in b"{,":
        at = body.find(name, at + 1)
    if at < 0:
        return []
    begin = at + len(name) - 1
    return _numbers(body[begin : body.index(b"]", begin) + 1])


def all_of(body: bytes) -> dict[str, list[int]]:
    """All entries of a body that was checked, by term and in order."""
    return _body(body)
