"""One small data directory in which everything occurs, and the same files some rows earlier.

What happens to its users is the story of the golden databases, and then a second life of the
service: archives, a user who is forgotten, calls before and behind checkpoints of the WAL. It is
copied while the service runs, so that its WAL is not empty. Moments, keys and random bytes are the
same each time.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from messages.stored.form import FORM
from messages.subjects import PREFIX
from persistence.key_filter import KeyFilter
from persistence.sqlite.backup import back_up
from persistence.sqlite.data_dir import DATABASE, LOCK
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.key_filter_store import KeyStore
from persistence.sqlite.schema import copy_wal
from tests.golden.released import PERSONAL, SETTINGS, USERS, Asked, Story
from tests.support.rig import Rig

LUMP_ROWS: Final = 100
"""Four runs of the index, the newest of which is in its WAL."""
KEYS: Final = 600
"""The filter of the service has room for millions, and 10 MB of blank bytes."""
FORGOTTEN: Final = "eve"
ARCHIVED: Final = ("2026-01-20", "2026-02-15")
"""Before each of these days, a file of the archive."""
TODAY: Final = "today"
SETTLED: Final = "settled"
"""As `TODAY`, but that the index is in its file alone: else what its WAL has is in the way."""
YESTERDAY: Final = "yesterday"
BACKUP: Final = "backup.db"
"""A file of `meterd backup`, as of `TODAY`."""
SEED: Final = 7


@dataclass(frozen=True)
class Made:
    """What was made, and what was said meanwhile.

    Attributes:
        at: the moment of its end, in microseconds.
        changes: every change with its reply, in order.
        published: the payload of every notice by its id.
    """

    at: int
    changes: list[Asked]
    published: dict[str, str]


@asynccontextmanager
async def serving(directory: Path, **settings: Any) -> AsyncIterator[tuple[SQLiteJournal, Rig]]:
    """A service on a directory; it is killed at the end, and the journal closed."""
    async with AsyncExitStack() as stack:  # a thread that is left would keep the process alive
        source = random.Random(SEED)
        journal = await SQLiteJournal.open(
            directory, FORM, lump_rows=LUMP_ROWS, random=source.randbytes
        )
        stack.push_async_callback(journal.close)
        rig = Rig(journal, **settings)  # type: ignore[arg-type]
        stack.push_async_callback(rig.crash)
        await rig.service.start()
        yield journal, rig


async def make(target: Path) -> Made:
    """Make the directories `TODAY`, `SETTLED` and `YESTERDAY` in an empty one, and `BACKUP`."""
    work = target / "work"
    settings: dict[str, Any] = dict(SETTINGS)
    async with serving(work, **settings) as (journal, rig):
        story = Story(rig)
        await story.tell()
        await _archive(rig, ARCHIVED[0])
        await _save_keys(work, journal, rig)
        published = _published(rig)
        at = rig.clock.at
    async with serving(work, at=at, **settings) as (journal, rig):
        story.rig = rig
        await _calls(story, 4)
        message = SimpleNamespace(subject=f"{PREFIX}.ctl.forget.{FORGOTTEN}", reply="forgot")
        await rig.link.heard[f"{PREFIX}.ctl.forget.*"](message)
        assert (await rig.answer("forgot")).code == ""
        await _calls(story, 2)
        await _checkpoint(journal, rig, "PASSIVE")
        _checkpoint_index(work)  # its WAL has one run then, the newest
        await _calls(story, 1)
        _copy(work, target / YESTERDAY)
        await _archive(rig, ARCHIVED[1])
        await _calls(story, 3)
        await _save_keys(work, journal, rig)
        await story._passivate()
        await _checkpoint(journal, rig, "TRUNCATE")
        await _calls(story, 1, USERS[:4])
        await _checkpoint(journal, rig, "PASSIVE")  # what comes next leaves some frames of before
        await _calls(story, 1, USERS[2:])
        await rig.idle()
        await rig.relay.emptied()
        await journal._index.filled.wait()
        _copy(work, target / TODAY)
        published |= _published(rig)
        at = rig.clock.at
    back_up(work, target / BACKUP)
    shutil.rmtree(work)
    shutil.copytree(target / TODAY, target / SETTLED)
    _checkpoint_index(target / SETTLED)
    return Made(at, story.changes, published)


async def _calls(story: Story, rounds: int, users: Sequence[str] = USERS) -> None:
    """Calls, batches and holds of users, with all that is personal."""
    for number in range(rounds):
        for user in users:
            about = PERSONAL | {"ip_address": f"10.0.{number}.1", "metadata": {"of": user}}
            call = {"provider": "exa", "endpoint": f"/{number}", "tokens_input": 10 + number}
            await story.do("track", user, **call, **about)
            if number % 3 == 0:
                await story.do("batch", user, events=[{"provider": "gemini"} | about] * 3)
            elif number % 3 == 1:
                await story.do("hold", user, provider="exa", ttl=3_600)


async def _archive(rig: Rig, day: str) -> None:
    """Take one step of an archive."""
    message = SimpleNamespace(subject=f"{PREFIX}.ctl.archive.{day}", reply=day)
    await rig.link.heard[f"{PREFIX}.ctl.archive.*"](message)
    assert (await rig.answer(day)).body["rows"]


async def _save_keys(directory: Path, journal: SQLiteJournal, rig: Rig) -> None:
    """Have a small filter of all keys beside the log."""
    await rig.idle()
    store = await KeyStore.open(directory, journal._pages, KeyFilter(KEYS), journal._stored)
    await store._save(await journal.last_seq())


async def _checkpoint(journal: SQLiteJournal, rig: Rig, how: str) -> None:
    """Copy the WAL into the database; what comes next is written over its beginning."""
    await rig.idle()
    await journal._index.filled.wait()
    await journal._writer.write(copy_wal, how)


def _checkpoint_index(directory: Path) -> None:
    """Have the file of the index hold all of it."""
    with closing(sqlite3.connect(directory / INDEX)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy(source: Path, target: Path) -> None:
    """Copy the files of a directory but for those that only a running process needs."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(LOCK, "*-shm"))
    assert (target / f"{DATABASE}-wal").stat().st_size


def _published(rig: Rig) -> dict[str, str]:
    return {one.id: one.payload.decode() for one in rig.link.published}
