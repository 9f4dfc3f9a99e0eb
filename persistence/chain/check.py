"""Follows the chain of a log, from its first row to its last, and names what does not fit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from messages.subjects import PARTITIONS
from persistence.chain import schema5
from persistence.chain.chain import START, about_of, heads_of_bytes, link
from persistence.chain.losses import NONE, Losses
from persistence.records import Row


class Broken(NamedTuple):
    """Rows that are not as they were written: one of ``first`` to ``last``, or one missing."""

    first: int
    last: int
    why: str


class Heads(NamedTuple):
    """The newest link of each partition as of a position, as somebody kept them.

    Attributes:
        seq: the position.
        links: by partition; one alone, or none, stands for that of every partition.
        where: who kept them, as people are told of it.
    """

    seq: int
    links: bytes
    where: str = "the log's own note"


class ChainCheck:
    """Follows the chain over rows that are shown to it in order.

    Args:
        unchained: rows up to here have no link.
        begin: the links that the first row with one of its own builds on. Rows up to there
            have one for each block.
        kept: later links that have to be those of the rows.
        losses: accepted ones, which are nothing that is broken. Behind one the chain of a partition
            that may have lost rows begins anew.
    """

    def __init__(
        self,
        unchained: int,
        begin: Heads,
        kept: Iterable[Heads] = (),
        losses: Losses = NONE,
    ) -> None:
        self._last = self._unchained = unchained
        self._begin = begin
        self._blocks = _Blocks()
        self._heads = heads_of_bytes(begin.links)
        self._kept = deque(sorted(one for one in kept if one.seq > begin.seq))
        self._doubtful = set[int]()
        self._losses = losses
        self._anew = set[int]()  # partitions whose next row may build on one that is lost

    def take(
        self,
        row: Row,
        proof: bytes | None,
        stored: bytes | None,
        *,
        whole: bool = True,
        checked: bool = False,
    ) -> Iterator[Broken]:
        """Look at the next row, with its proof and its link; what is broken so far.

        One that is not ``whole``, since its body cannot be read now, is taken as its link says. Of
        one that was ``checked`` by itself, and was as it was written, nothing is said if it is the
        first of its partition behind others that are `doubt`.
        """
        if row.seq <= self._unchained:
            return
        if row.seq != self._last + 1:
            yield from self._missing(self._last + 1, row.seq - 1)
        yield from self._compared(row.seq - 1)
        if row.seq <= self._begin.seq:
            yield from self._blocks.take(row, stored, whole=whole)
        else:
            if self._last <= self._begin.seq:
                yield from self._began()
            doubtful = checked and row.partition in self._doubtful
            self._doubtful.discard(row.partition)
            if not self._fits(row, proof, stored) and whole and not doubtful:
                yield Broken(row.seq, row.seq, "not as it was written, or behind one that is gone")
        self._last = row.seq

    def skip(self, last: int) -> Iterator[Broken]:
        """Pass over the rows up to a position, which are gone and named by others."""
        if self._last < self._unchained and last <= self._unchained:
            return
        yield from self._compared(self._last)
        self.doubt()
        self._blocks.skip()
        self._last = max(last, self._last)

    def doubt(self) -> None:
        """What the next row of each partition builds on is not known from here on."""
        self._doubtful = {*range(PARTITIONS)}

    def _missing(self, first: int, last: int) -> Iterator[Broken]:
        """Positions without a row: those that are lost as it was accepted are not broken."""
        for loss in self._losses.within(first, last):
            self._anew.update(filter(loss.may_have_lost, range(PARTITIONS)))
            self._blocks.lose()
        for begin, end in self._losses.without(first, last):
            yield Broken(begin, end, "missing")

    def end(self) -> Iterator[Broken]:
        """What is broken at the end of the log."""
        yield from self._compared(self._last)
        if self._last <= self._begin.seq:
            yield from self._began()
        if self._last < self._begin.seq:
            yield Broken(self._last + 1, self._begin.seq, "missing: the log's own note has them")
        for kept in self._kept:
            yield Broken(self._last + 1, kept.seq, f"missing: {kept.where} has them")

    def _began(self) -> Iterator[Broken]:
        """Rows with links of their own build on the last of the blocks before them."""
        yield from self._blocks.end()
        known = self._last == self._begin.seq and not self._blocks.skipped
        if known and self._blocks.before != self._begin.links:
            why = "what the rows behind it build on is not its link"
            yield Broken(self._begin.seq, self._begin.seq, why)

    def _fits(self, row: Row, proof: bytes | None, stored: bytes | None) -> bool:
        if not isinstance(stored, bytes) or row.partition not in range(PARTITIONS):
            return False
        before = self._heads[row.partition]
        self._heads[row.partition] = stored  # so that the rows after it are judged by themselves
        if row.partition in self._anew:
            self._anew.remove(row.partition)
            return True
        try:
            return link(before, row, about_of(row.personal, proof)) == stored
        except (AttributeError, TypeError, ValueError):  # of another type than ever written
            return False

    def _compared(self, upto: int) -> Iterator[Broken]:
        """What kept links say of positions that all rows were shown of."""
        while self._kept and self._kept[0].seq <= upto:
            kept = self._kept.popleft()
            unknown = self._doubtful | self._anew
            differing = [one for one in _differing(self._heads, kept) if one not in unknown]
            if differing:
                why = f"the links are not those of {kept.where}, in partitions {differing}"
                yield Broken(kept.seq, kept.seq, why)


class _Blocks:
    """The chain as it was until schema 5.

    Attributes:
        before: the newest link.
        skipped: whether nobody knows it.
    """

    def __init__(self) -> None:
        self.before = schema5.START
        self.skipped = False
        self._block: list[Row] = []
        self._whole = True

    def take(self, row: Row, stored: bytes | None, *, whole: bool) -> Iterator[Broken]:
        self._block.append(row)
        self._whole = self._whole and whole
        if stored is None:
            return
        block, self._block = self._block, []
        block_is_whole, self._whole = self._whole, True
        expected = schema5.link(self.before, block)
        self.before = bytes(stored)  # so that the blocks after it are judged by themselves
        self.skipped = False
        if expected != stored and block_is_whole:
            yield Broken(block[0].seq, row.seq, "not as it was written")

    def skip(self) -> None:
        """Rows are gone that are a part of the block."""
        self._whole = False
        self.skipped = True

    def lose(self) -> None:
        """Rows of the block that is under way, or is next, are lost."""
        self._whole = False

    def end(self) -> Iterator[Broken]:
        if self._block and not self.skipped:
            yield Broken(self._block[0].seq, self._block[-1].seq, "rows behind it are missing")


def _differing(heads: Sequence[bytes], kept: Heads) -> list[int]:
    try:
        links = heads_of_bytes(kept.links)
    except (TypeError, ValueError):
        links = [START] * PARTITIONS
    return [partition for partition, link in enumerate(heads) if link != links[partition]]
