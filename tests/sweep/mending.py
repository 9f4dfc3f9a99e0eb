"""What an operator does about a damage: `meterd mend`, with a whole backup or without one."""

from __future__ import annotations

from collections.abc import Callable
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
from tests.sweep.truth import Question, Truth

_NOW: Final = datetime(2026, 4, 1, tzinfo=UTC)
_RESTORE: Final = "meterd restore"


def mend_with(directory: Path, backup: Path) -> bool:
    """Mend a directory with what a backup has, and do what is said if that cannot be done.

    Returns:
        Whether all personal fields are there: some of the backup stay out if nothing of the log
        shows that a user was not forgotten since.

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
        return True
    assert report.outcome in {"whole", "mended"}, report
    return report.without_personal == 0


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


def without_personal(truth: Truth) -> Truth:
    """What is true but for what has personal fields."""
    return _of(truth, lambda question: question.verb != "logs")


def of_others(truth: Truth, losses: Losses) -> Truth:
    """What has to be true still: of users who have lost nothing, as the chain proves.

    If prices or plans may be lost, that is nothing: whatever a call costs depends on them.
    """
    lost = _lost(losses)
    return _of(truth, lambda one: not _is_of(one, lost))


def of_losers(truth: Truth, losses: Losses) -> Truth:
    """What may have another answer now, but has to have one."""
    lost = _lost(losses)
    return _of(truth, lambda one: _is_of(one, lost))


def _lost(losses: Losses) -> set[str]:
    """Whose rows may be lost; everybody's with those of the catalogue."""
    if _may_have_lost(losses, PARTITION):
        return {*USERS, ""}
    return {user for user in USERS if _may_have_lost(losses, partition_of(encode_user(user)))}


def _is_of(question: Question, lost: set[str]) -> bool:
    return question.user in lost or bool(lost and question.verb == "users.list")


def _of(truth: Truth, wanted: Callable[[Question], bool]) -> Truth:
    pairs = zip(truth.questions, truth.answers, strict=True)
    kept = [(question, right) for question, right in pairs if wanted(question)]
    questions, answers = [one for one, _ in kept], [right for _, right in kept]
    return truth._replace(questions=questions, answers=answers)


def _may_have_lost(losses: Losses, partition: int) -> bool:
    return any(loss.may_have_lost(partition) for loss in losses.all)
