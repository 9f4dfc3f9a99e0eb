"""What an operator does about a damage: `meterd mend`, with a whole backup or without one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from actors.catalog.actor import PARTITION
from actors.cli.mend import is_whole
from messages.subjects import encode_user, partition_of
from persistence.chain.losses import Losses
from persistence.errors import Refused
from persistence.sqlite.backup import restore
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.mending.mend import mend
from tests.golden.released import USERS
from tests.sweep.truth import Truth

_NOW: Final = datetime(2026, 4, 1, tzinfo=UTC)
_RESTORE: Final = "meterd restore"


def mend_with(directory: Path, backup: Path) -> None:
    """Mend a directory with what a backup has, and do what is said if that cannot be done.

    Raises:
        Refused: the message names no other way.
    """
    try:
        report = mend(directory, [backup], is_whole, _NOW)
    except Refused as error:
        if _RESTORE not in str(error):
            raise
        database = directory / DATABASE
        if database.exists():
            database.rename(directory / "moved away")
        restore(backup, directory)
    else:
        assert report.outcome in {"whole", "mended"}, report


def mend_alone(directory: Path) -> Losses | None:
    """Mend a directory without a backup, and accept what is lost; None if nothing is left of it."""
    try:
        mend(directory, [], is_whole, _NOW, accept_loss=True)
    except Refused as error:
        if _RESTORE not in str(error):
            raise
        return None
    with Inspection.open(directory) as log:
        return log.notes.losses


def of_others(truth: Truth, losses: Losses) -> Truth:
    """What has to be true still: of users who have lost nothing, as the chain proves.

    If prices or plans may be lost, that is nothing: whatever a call costs depends on them.
    """
    lost = {user for user in USERS if _may_have_lost(losses, partition_of(encode_user(user)))}
    if _may_have_lost(losses, PARTITION):
        return truth._replace(questions=[], answers=[])
    pairs = [
        (question, right)
        for question, right in zip(truth.questions, truth.answers, strict=True)
        if question.user not in lost and not (lost and question.verb == "users.list")
    ]
    questions, answers = [one for one, _ in pairs], [right for _, right in pairs]
    return truth._replace(questions=questions, answers=answers)


def _may_have_lost(losses: Losses, partition: int) -> bool:
    return any(loss.may_have_lost(partition) for loss in losses.all)
