"""What was accepted as lost stays lost, whatever a backup has of it.

Since then keys of lost rows may have been sent again, snapshots and periods were written that lack
them, and rows because they were not there. A row that came back would be counted beside these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby

from persistence.chain.losses import Loss, Losses
from persistence.records import Snapshot
from persistence.sqlite.mending.candidates import Candidate
from persistence.sqlite.mending.sources import Source


def stay_lost(lost: Losses, backups: Sequence[Source]) -> int:
    """How many of the lost positions a backup has a whole row of."""
    return sum(_had(loss, backups) for loss in lost.all)


def _had(loss: Loss, backups: Sequence[Source]) -> int:
    positions = merge(*(_positions(loss, backup) for backup in backups))
    return sum(1 for _ in groupby(positions))


def _positions(loss: Loss, backup: Source) -> Iterator[int]:
    for one in backup.rows(loss.last, loss.first):
        if isinstance(one, Candidate):
            yield one.row.seq


def knows_losses(one: Snapshot, backup: Source, lost: Losses) -> bool:
    """Whether a snapshot of a backup may stand for what the log says of its user.

    One of a backup from before a loss may reflect rows that were lost then, and counted again.
    """
    return all(
        loss.first in backup.losses
        for loss in lost.within(1, one.seq)
        if loss.may_have_lost(one.partition)
    )
