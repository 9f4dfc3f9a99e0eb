"""Rows of several sources become one log, in order, where the chain proves that they fit.

A row passes if it is whole and builds on the row before it in its partition. If that one is
missing, a row with a right checksum passes too, and a later row of what is to be mended has to
build on it: else what a backup gave for the gap is of another log, and is left out when the join
runs again. So a join runs until it finds nothing new, and then once more for its rows. What it
keeps in memory is a little for each place that is damaged, and nothing for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from messages.subjects import PARTITIONS
from persistence.chain.losses import Losses
from persistence.chain.ranges import NOWHERE, Ranges
from persistence.errors import Refused
from persistence.sqlite.mending.candidates import Candidate, Torn
from persistence.sqlite.mending.gaps import Gaps
from persistence.sqlite.mending.personal import Personal


class Kind(Enum):
    """How far a source is believed."""

    LOG = "log"
    """What is to be mended, as SQLite reads it."""
    BACKUP = "backup"
    PAGES = "pages"
    """What was found in pages to which nothing leads: it may be of a former time."""


class Origin(NamedTuple):
    """A source of rows, in the order of their positions.

    Attributes:
        name: as people are told of it.
        kind: see `Kind`.
        is_own: whether it is a file of the log itself: what that has of personal fields is of now.
        last: the newest position that it may have.
        rows: gives what it has up to a position.
        broken: blocks of rows without links of their own that are not as they were written.
    """

    name: str
    kind: Kind
    is_own: bool
    last: int
    rows: Callable[[int], Iterator[Candidate | Torn]]
    broken: Ranges = NOWHERE


_Found: TypeAlias = tuple[int, Candidate]
"""The number of an origin, and what it has."""


@dataclass
class Known:
    """What former runs found out.

    Attributes:
        rejected: of an origin and a partition, ranges of rows that later ones do not build on.
        personal: what is known of personal fields.
    """

    rejected: dict[tuple[int, int], set[tuple[int, int]]] = field(default_factory=dict)
    personal: Personal = field(default_factory=Personal)


class Frame(NamedTuple):
    """What all runs of a join have in common.

    Attributes:
        origins: the sources, the best first; at most one is the log.
        begin: rows up to here have no link of their own: nothing proves them one by one.
        links: what the first rows behind build on.
        unchecked: rows up to here may have no checksum, None if nobody knows.
        end: the log is known to have had rows up to here.
        lost: what was accepted as lost before: no row of that comes back.
        body_of: gives the body of a row that is in an archive, None if that cannot be read.
    """

    origins: Sequence[Origin]
    begin: int
    links: Sequence[bytes]
    unchecked: int | None
    end: int
    lost: Losses
    body_of: Callable[[int], str | None]


class Join:
    """One run.

    Args:
        frame: see there.
        known: what former runs found.

    Attributes:
        gaps: what is missing, when all rows have passed.
        taken: how many rows are of each origin, by its number.
        seen: how many positions each has.
        holes: ranges of positions that the first one does not have.
        unchecked: the newest row without a checksum.
        changed: how many rows of the log got what they lacked: a checksum, or a body that is in
            an archive which is not whole.
        without_body: how many rows have theirs in an archive that cannot be read.
        loose: rows of the log that do not build on the one before, as they were found.
        found: what this run found, for the next one.
    """

    def __init__(self, frame: Frame, known: Known) -> None:
        self.gaps = Gaps(frame.links)
        self.taken = [0] * len(frame.origins)
        self.seen = [0] * len(frame.origins)
        self.holes: list[range] = []
        self.unchecked = 0
        self.changed = 0
        self.without_body = 0
        self.loose: list[int] = []
        self.found = Known({place: set(some) for place, some in known.rejected.items()})
        self._frame = frame
        self._known = known
        self._kinds = [origin.kind for origin in frame.origins]
        self._links = list(frame.links)
        self._first_has = 0
        self._lost = 0  # how often a row was missing of which nothing is left
        self._sure = [0] * PARTITIONS  # that number as of the newest row of each partition
        self._runs: list[tuple[int, int] | None] = [None] * PARTITIONS

    def rows(self) -> Iterator[Candidate]:
        """The rows of the log, in order.

        Raises:
            Refused: two sources are of two logs.
        """
        expected = 1
        last = max([self._frame.end, *(origin.last for origin in self._frame.origins)])
        streams = [self._stream(number, last) for number in range(len(self._frame.origins))]
        for seq, group in groupby(merge(*streams, key=itemgetter(0, 1)), itemgetter(0)):
            if seq in self._frame.lost:  # what was written since stands in for it
                continue
            if seq > expected:
                self._miss(expected, seq - 1)
            expected = seq + 1
            one = self._choose(seq, [(number, found) for _, number, found in group])
            if one is not None:
                self.gaps.take(one)
                yield one
        if expected <= last:
            self._miss(expected, last)
        self._see(last + 1)
        self.gaps.end_at(self._frame.end)

    def _stream(self, number: int, last: int) -> Iterator[tuple[int, int, Candidate | Torn]]:
        before = 0
        for one in self._frame.origins[number].rows(last):
            found = self._filled(one)
            is_whole = isinstance(found, Candidate)
            seq = found.row.seq if isinstance(found, Candidate) else found.seq
            if is_whole and seq != before:
                self.seen[number] += 1
                if number == 0:
                    self._see(seq)
            before = seq if is_whole else before
            yield seq, number, found

    def _filled(self, one: Candidate | Torn) -> Candidate | Torn:
        """A row with its body, wherever that is."""
        if isinstance(one, Torn) or one.row.body:
            return one
        body = self._frame.body_of(one.row.seq)
        return one if body is None else one.filled(body)

    def _see(self, seq: int) -> None:
        """The first source has a position; what it lacks before is a hole."""
        if seq > self._first_has + 1:
            self.holes.append(range(self._first_has + 1, seq))
        self._first_has = seq

    def _miss(self, first: int, last: int, torn: Torn | None = None) -> None:
        self.gaps.add(first, last, torn)
        if torn is None:
            self._lost += 1
        else:  # its link is known: the rows behind it are proven as if it were there
            self._links[torn.partition] = torn.link
            self._sure[torn.partition] = self._lost
            self._runs[torn.partition] = None

    def _choose(self, seq: int, found: Sequence[tuple[int, Candidate | Torn]]) -> Candidate | None:
        """The row of a position, None if none of those that there are may be it."""
        by_link: dict[bytes, list[_Found]] = {}
        torn = unproven = None
        for number, one in found:  # of the log first
            if isinstance(one, Torn):
                torn = torn or one
            elif torn is not None and one.link != torn.link:
                continue  # which is the link of this row has a checksum of its own
            elif not self._is_rejected(number, one):
                if self._is_whole(number, one):
                    by_link.setdefault(one.link if seq > self._frame.begin else b"", []).append(
                        (number, one)
                    )
                else:
                    unproven = unproven or one
        group = self._best(seq, self._of_before(seq, by_link))
        if group is None:
            self._miss(seq, seq, torn)
            if unproven is not None and torn is None:  # maybe its link is as it was
                self._links[unproven.row.partition] = unproven.link
            return None
        return self._merged(seq, group)

    def _of_before(self, seq: int, by_link: dict[bytes, list[_Found]]) -> list[list[_Found]]:
        """Rows that have a link of their own; of others those whose block is whole, if any is."""
        if seq > self._frame.begin or not by_link:
            return list(by_link.values())
        (group,) = by_link.values()
        proven = [one for one in group if seq not in self._frame.origins[one[0]].broken]
        if not proven:
            self.loose.append(seq)
            return [group[:1]]
        _compare(seq, self._frame.origins, proven)
        return [proven]

    def _is_rejected(self, number: int, one: Candidate) -> bool:
        ranges = self._known.rejected.get((number, one.row.partition), ())
        return any(first <= one.row.seq <= last for first, last in ranges)

    def _is_whole(self, number: int, one: Candidate) -> bool:
        """Whether a row is as it was written, by its checksum or by the row before it."""
        if one.is_stamped:
            return True
        if one.row.seq <= self._frame.begin:
            return self._kinds[number] is not Kind.PAGES
        follows = one.follows(self._links[one.row.partition])
        if follows is None:  # nothing covers a row of before whose body is elsewhere
            return one.row.seq <= (self._frame.unchecked or 0) and len(one.link) > 0
        return follows

    def _builds(self, group: Sequence[_Found]) -> bool | None:
        """Whether a row builds on the one before it; None if that is missing, or its body is."""
        partition = group[0][1].row.partition
        if group[0][1].row.seq <= self._frame.begin or self._sure[partition] != self._lost:
            return None
        said = [one.follows(self._links[partition]) for _, one in group]
        return True if True in said else False if False in said else None

    def _best(self, seq: int, groups: list[list[_Found]]) -> list[_Found] | None:
        if not groups:
            return None
        builds = [self._builds(group) for group in groups]
        if len(groups) > 1:
            group = self._judge(seq, groups, builds)
            builds = [builds[groups.index(group)]]
        else:
            (group,) = groups
        if builds[0] is not False:
            return group
        if not self._is_of(group, Kind.LOG):
            return None
        partition = group[0][1].row.partition
        run = self._runs[partition]
        if run is None:
            self.loose.append(seq)
        else:
            number, first = run
            self.found.rejected.setdefault((number, partition), set()).add((first, seq - 1))
        return group

    def _judge(
        self, seq: int, groups: list[list[_Found]], builds: Sequence[bool | None]
    ) -> list[_Found]:
        """Which of several rows is that of the position.

        Raises:
            Refused: more than one may be, or one that is not is a backup's.
        """
        if any(builds):  # then the row before is there: one without a body may build on it too
            proven = [
                group for group, does in zip(groups, builds, strict=True) if does is not False
            ]
        else:
            proven = []
        firm = [group for group in groups if not self._is_of(group, Kind.PAGES, only=True)]
        if len(proven) > 1:
            proven = [group for group in proven if group in firm] or proven[:1]
        best = (proven or firm or groups)[0]
        others = [group for group in firm if group is not best]
        if others and (len(proven) != 1 or any(self._is_of(one, Kind.BACKUP) for one in others)):
            mine, *rest = sorted(firm, key=lambda group: group[0][0])
            other = next((one for one in rest if self._is_of(one, Kind.BACKUP)), rest[0])
            raise Refused(
                f"{self._name(other)} is of another log than {self._name(mine)}, or was continued"
                f" apart from it: row {seq} is not the same in both. Leave one of them out"
            )
        return best

    def _is_of(self, group: Sequence[_Found], kind: Kind, *, only: bool = False) -> bool:
        kinds = [self._kinds[number] is kind for number, _ in group]
        return all(kinds) if only else any(kinds)

    def _name(self, group: Sequence[_Found]) -> str:
        """The source of a row: that which is to be left out, if there is one."""
        kinds = (Kind.LOG, Kind.BACKUP, Kind.PAGES)
        number, _ = min(group, key=lambda one: kinds.index(self._kinds[one[0]]))
        return self._frame.origins[number].name

    def _merged(self, seq: int, group: Sequence[_Found]) -> Candidate:
        """One row of what several sources have of it."""
        number, best = group[0]
        for _, other in group[1:]:
            best = _better(best, other)
        is_log = self._kinds[number] is Kind.LOG
        if is_log:
            self.changed += best.row.body != group[0][1].row.body
        own = [one for at, one in group if self._frame.origins[at].is_own]
        if own:
            self._learn(own, group)
        elif best.has_personal and not self._keeps(number, best):
            best = best.erased()
        row = best.row
        if not best.is_stamped:
            unchecked = seq if self._frame.unchecked is None else self._frame.unchecked
            # Once a loss is accepted, nothing else proves the first rows behind it.
            is_first = seq > self._frame.begin and self._sure[row.partition] != self._lost
            if row.body and (is_first or unchecked < seq):
                best = best.stamped()
                self.changed += 1
            else:
                self.unchecked = seq
        self.without_body += not row.body
        self.taken[number] += 1
        self._links[row.partition] = best.link
        self._sure[row.partition] = self._lost
        run = self._runs[row.partition]
        if is_log or run is None or run[0] != number:
            self._runs[row.partition] = None if is_log else (number, seq)
        return best

    def _keeps(self, number: int, one: Candidate) -> bool:
        """Whether a row that the log has lost may have its personal fields back."""
        self.found.personal.needed.add((number, one.row.user))
        return self._known.personal.keeps(number, one.row.user)

    def _learn(self, own: Sequence[Candidate], group: Sequence[_Found]) -> None:
        """What a row that the log has says of whether its user was forgotten."""
        needed, user, found = self._known.personal.needed, own[0].row.user, self.found.personal
        if not needed:
            return
        has = all(one.has_personal for one in own)
        for number, origin in enumerate(self._frame.origins):
            if (number, user) in needed and origin.last >= own[0].row.seq:
                if has:
                    found.kept.add((number, user))
                elif any(other.has_personal for at, other in group if at == number):
                    found.forgotten.add((number, user))


def _better(one: Candidate, other: Candidate) -> Candidate:
    """Of two forms of a row the one to keep: erased, with a body, and with a checksum."""
    made = one if one.is_stamped else one._replace(stored=other.stored)
    if other.is_erased and not one.is_erased:
        made = made._replace(row=made.row._replace(personal=other.row.personal), proof=other.proof)
    if one.row.body or not other.row.body:
        return made
    # What stands beside a body that cannot be read has not been compared with its checksum yet.
    filled = made._replace(row=made.row._replace(body=other.row.body))
    if made.is_stamped and not filled.is_whole():
        filled = other.erased() if one.is_erased and other.has_personal else other
    return filled._replace(is_archived=False)


def _compare(seq: int, origins: Sequence[Origin], group: Sequence[_Found]) -> None:
    """Rows that nothing proves one by one have to be the same in all sources."""
    (first, one), *others = group
    for number, other in others:
        same = one.row[:7] == other.row[:7] and (
            "" in {one.row.body, other.row.body} or one.row.body == other.row.body
        )
        if not same:
            raise Refused(
                f"{origins[first].name} and {origins[number].name} have different rows {seq},"
                " and nothing says which is right. Leave one of them out"
            )
