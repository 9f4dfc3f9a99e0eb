"""Rows of before schema 6, which have a link for each block: of which source a block is whole."""

from __future__ import annotations

from collections.abc import Iterable

from persistence.chain import schema5
from persistence.chain.ranges import Ranges
from persistence.sqlite.mending.candidates import Candidate, Torn


def broken_blocks(rows: Iterable[Candidate | Torn], unchained: int) -> Ranges:
    """The rows of blocks that are not as they were written.

    Args:
        rows: of one source, from the first one on, as far as blocks go.
        unchained: rows up to here are in no block.
    """
    found: list[range] = []
    block: list[Candidate] = []
    before, first, last, is_whole = schema5.START, unchained + 1, unchained, True
    for one in rows:
        if isinstance(one, Torn) or one.row.seq <= unchained:
            continue
        is_whole = is_whole and one.row.seq == last + 1
        last = one.row.seq
        block.append(one)
        if not one.stored:
            continue
        # What is in an archive is compared with the digest of its file.
        is_covered = all(each.row.body for each in block)
        if not is_whole or (
            is_covered and schema5.link(before, [each.row for each in block]) != one.stored
        ):
            found.append(range(first, last + 1))
        before, first, block, is_whole = one.stored, last + 1, [], True
    if block:
        found.append(range(first, last + 1))
    return Ranges(found)
