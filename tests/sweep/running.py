"""Runs cases: each damage on a copy of its own, one after the other in this process."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import structlog.testing

from persistence.archive.files import DIRECTORY
from persistence.damage import TOLD
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.inspecting.fault import NOTHING_STARTS
from tests.sweep import looking
from tests.sweep import outcomes as o
from tests.sweep.damages import Damage, all_of, damaged, sample
from tests.sweep.directory import BACKUP, SEED, SETTLED, TODAY, YESTERDAY
from tests.sweep.judge import HUNG_S, judge_service
from tests.sweep.looking import content_of, is_lawful, verified
from tests.sweep.mending import mend_alone, mend_with, of_losers, of_others, without_personal
from tests.sweep.outcomes import Notes
from tests.sweep.truth import Truth

DERIVED: Final = looking.BEHIND
MENDED_EACH: Final = 5
"""In a quick run, one damage of so many is mended."""
LOST_EACH: Final = 4
"""Of the cases of the log that are mended, one of so many is mended without a backup as well."""
LOG: Final = (DATABASE, f"{DATABASE}-wal")
MADE_ANEW: Final = frozenset({"index_made_anew", "damaged", "index_fill_failed"})
"""What a service says that has noticed a damage of the index."""
LATE_S: Final = 2 * HUNG_S
"""The loop itself may stand still."""


class Hung(KeyboardInterrupt):
    """The process stood still: as an interrupt it passes through the loop and every handler."""


class Stage:
    """A directory that was made, what is true of it, and where its copies are damaged."""

    def __init__(self, made: Path, truth: Truth) -> None:
        self.truth = truth
        self._today = made / TODAY
        self._before = made / YESTERDAY
        self._backup = made / BACKUP
        self._content: dict[str, Any] = {}

    def files(self) -> list[str]:
        """The names of its files."""
        found = [path for path in self._today.rglob("*") if path.is_file()]
        return sorted(str(path.relative_to(self._today)) for path in found)

    def damages(self, each: int | None = None) -> list[Damage]:
        """Every damage of every file, or a sample of each page."""
        found = []
        for file in self.files():
            before = self._old(file)
            every = all_of(file, (self._base(file) / file).read_bytes(), before)
            found += every if each is None else sample(every, each, SEED)
        return found

    def run(
        self, damages: Iterable[Damage], work: Path, *, quick: bool, mends: bool = True
    ) -> Iterator[o.Outcome]:
        """Have each damage met, in a directory for copies.

        With ``quick``, what carries nothing is only verified, and a part is mended.
        """
        for number, damage in enumerate(damages):
            began = time.perf_counter()
            each = (MENDED_EACH if quick else 1) if mends else 0
            mended = each > 0 and number % each == 0
            lost = mended and damage.file in LOG and number % (each * LOST_EACH) == 0
            notes = self._meet(damage, work / str(number), quick, mended, lost)
            shutil.rmtree(work / str(number))
            worst = notes.worst
            found = sorted(notes.found, key=o.ORDER.index)
            seconds = round(time.perf_counter() - began, 3)
            yield o.Outcome(damage, worst, notes.found.get(worst, ""), seconds, tuple(found))

    def changes(self, damage: Damage, columns: frozenset[str], work: Path) -> bool:
        """Whether a damage changes one of these columns of a table."""
        copy = work / "looked at"
        self._damage(damage, copy)
        with _copied(self._base(damage.file)) as whole:
            found = looking.columns_of(copy, whole, damage.file)
        shutil.rmtree(copy)
        return bool(found & columns)

    def _meet(self, damage: Damage, copy: Path, quick: bool, mended: bool, lost: bool) -> Notes:
        notes = Notes()
        self._damage(damage, copy)
        carries = content_of(copy, damage.file) != self._carried(damage.file)
        shutil.rmtree(copy)  # to look at it left something beside it
        self._damage(damage, copy)
        threading.excepthook = lambda failed: notes.add(o.INTERNAL, repr(failed.exc_value))
        signal.signal(signal.SIGALRM, _on_alarm)
        signal.setitimer(signal.ITIMER_REAL, LATE_S, LATE_S)
        try:
            named = verified(copy)
            if quick and not carries and not named:
                notes.add(o.UNUSED, "")
                return notes
            said = self._serve(copy, notes)
            _judge_verify(damage, carries, named, verified(copy), notes)
            if damage.file == INDEX and not any(map(MADE_ANEW.__contains__, said)):
                notes.change(o.UNHEALED, o.UNREAD)
            if looking.is_moved(damage):
                notes.spare(o.SILENT, o.UNSAID, o.UNKEPT)
            if mended:
                self._mend(damage, copy, notes)
            if lost:
                self._lose(damage, copy, notes)
        except Hung:
            notes.add(o.HUNG, f"after {LATE_S:g} s")
        except Exception as error:  # noqa: BLE001 -- of verify or mend: it is an outcome
            notes.add(o.INTERNAL, f"verify or mend: {error!r}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return notes

    def _serve(self, copy: Path, notes: Notes, truth: Truth | None = None) -> list[str]:
        """Ask a service, of all or of some that is true; which lines it has in its log."""
        TOLD.forget()  # each case is a process of its own
        with structlog.testing.capture_logs() as lines:
            asyncio.run(judge_service(copy, truth or self.truth, lines, notes))
        return [line["event"] for line in lines]

    def _mend(self, damage: Damage, copy: Path, notes: Notes) -> None:
        """With a whole backup at hand, all is as if nothing had been damaged."""
        shutil.rmtree(copy)
        self._damage(damage, copy)
        if damage.file.startswith(DIRECTORY):  # no backup has it: what is to be done is to
            shutil.copyfile(self._today / damage.file, copy / damage.file)  # put it back
        is_all_there = mend_with(copy, self._backup)
        truth = self.truth if is_all_there else without_personal(self.truth)
        self._judge_mended(copy, notes, truth)

    def _lose(self, damage: Damage, copy: Path, notes: Notes) -> None:
        """Without a backup, what is lost is lost for whom it may be of, and for nobody else."""
        shutil.rmtree(copy)
        self._damage(damage, copy)
        losses = mend_alone(copy)
        if losses is None:
            return
        self._judge_mended(copy, notes, of_others(self.truth, losses))
        if losses.all:
            after = Notes()
            self._serve(copy, after, of_losers(self.truth, losses))
            after.spare(o.WRONG, o.DOUBLED)  # it is what the rows that are left say
            for name in verified(copy):
                after.add(o.SILENT, f"after a service ran verify names {name}")
            if after.worst != o.SAME:
                notes.add(o.UNMENDED, after.found[after.worst])

    def _judge_mended(self, copy: Path, notes: Notes, truth: Truth) -> None:
        after = Notes()
        for name in verified(copy):
            if NOTHING_STARTS not in name:
                after.add(o.SILENT, f"verify names {name}")
        self._serve(copy, after, truth)
        for name in verified(copy):
            after.add(o.SILENT, f"after a service ran verify names {name}")
        if after.worst != o.SAME:
            notes.add(o.UNMENDED, after.found[after.worst])

    def _damage(self, damage: Damage, copy: Path) -> None:
        shutil.copytree(self._base(damage.file), copy)
        file = copy / damage.file
        content = damaged(damage, file.read_bytes(), self._old(damage.file))
        file.unlink()
        if content is not None:
            file.write_bytes(content)

    def _base(self, file: str) -> Path:
        """The directory of whose copies a file is damaged."""
        return self._today.with_name(SETTLED) if file == INDEX else self._today

    def _old(self, file: str) -> bytes | None:
        path = self._before / file
        return path.read_bytes() if path.exists() else None

    def _carried(self, file: str) -> Any:
        name = file.removesuffix("-wal")
        if name not in self._content:
            with _copied(self._today) as whole:
                self._content[name] = content_of(whole, file)
        return self._content[name]


@contextmanager
def _copied(directory: Path) -> Iterator[Path]:
    """A copy of a directory: to look at a database leaves something beside it."""
    with tempfile.TemporaryDirectory(dir=directory.parent) as place:
        yield Path(shutil.copytree(directory, Path(place, directory.name)))


def _judge_verify(
    damage: Damage, carries: bool, before: list[str], after: list[str], notes: Notes
) -> None:
    """Verify names what is damaged: before a service ran, and after it what that could not mend."""
    met = notes.worst != o.SAME
    if not before and (met or (carries and not is_lawful(damage))):
        notes.add(o.SILENT, f"verify names nothing; {notes.found}")
    if not after and met:
        notes.add(o.SILENT, f"verify names nothing after a service ran; {notes.found}")
    if after and damage.file.startswith(DERIVED) and o.REFUSED not in notes.found:
        notes.add(o.UNHEALED, f"verify still names {after[0]}")


def _on_alarm(number: int, frame: FrameType | None) -> None:
    raise Hung
