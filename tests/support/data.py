"""A small data directory in which most things occur, and ways to damage it by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from actors.audit.findings import Finding
from actors.audit.verify import Verifier, VerifyReport
from messages.stored.form import FORM
from persistence.key_filter import KeyFilter
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from tests.support.meter import NOON
from tests.support.rig import Rig

DAY: Final = 86_400_000_000
PAGE: Final = 4_096
LUMP: Final = 70
"""Rows of a run of the index: it has three."""
USERS: Final = [f"user {n}" for n in range(30)]
ROUNDS: Final = 6
ARCHIVED: Final = 61
"""Rows whose bodies are in a file."""
TRIGGERS: Final = (
    "DROP TRIGGER IF EXISTS log_is_never_changed; DROP TRIGGER IF EXISTS log_is_never_removed;"
)


async def make(directory: Path) -> None:
    """Six calls of each of 30 users, of two periods, with snapshots, an archive and a filter."""
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    rig = await Rig.start(journal, at=NOON, snapshot_events=4)  # type: ignore[arg-type]
    await rig.catalog("prices.put", provider="exa", model="new", cost_per_search=1)
    for turn in range(ROUNDS):
        if turn == ROUNDS - 2:
            rig.clock.at = NOON + 30 * DAY
        if turn == ROUNDS - 3:
            await rig.ask("hold", USERS[0], provider="exa", event_id="held")
            await rig.ask("track", USERS[0], provider="exa", hold_id="held", event_id="settled")
        for user in USERS:
            await rig.ask("track", user, provider="exa", cost=0.5, event_id=key_of(turn, user))
    await rig.idle()
    await journal._index.filled.wait()
    await rig.stop()
    await journal.archive(ARCHIVED)
    await journal.load_keys(KeyFilter(500, 600))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("persistence.sqlite.key_filter_store.CLOSE_ROWS", 1)
        await journal.close()


def key_of(turn: int, user: str) -> str:
    """The key of a user's call."""
    return f"call {turn} of {user}."


def seq_of(directory: Path, turn: int, user: str) -> int:
    """The position of a user's call."""
    query = "SELECT seq FROM log WHERE event_id = ?"
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        ((found,),) = db.execute(query, (key_of(turn, user),))
    return int(found)


def verified(directory: Path) -> tuple[VerifyReport, list[Finding]]:
    """What `meterd verify` finds, without a service."""
    found: list[Finding] = []
    with Inspection.open(directory, whole=False) as log:
        report = Verifier(log, found.append, lambda _: None).run()
    return report, found


def edit(directory: Path, script: str) -> None:
    """Change the database as nobody should."""
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        db.executescript(TRIGGERS + script)


def patch(path: Path, change: Callable[[bytearray], None]) -> None:
    """Change the bytes of a file."""
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def blank_page_of(directory: Path, text: str) -> None:
    """Blank the page of the database that has a text, which only one has."""

    def blank(content: bytearray) -> None:
        found = [
            at for at in range(0, len(content), PAGE) if text.encode() in content[at : at + PAGE]
        ]
        (at,) = found
        content[at : at + PAGE] = bytes(PAGE)

    patch(directory / DATABASE, blank)


def flip(path: Path, text: str) -> None:
    """Turn a bit of the last letter of a text, wherever a file has it."""

    def turn(content: bytearray) -> None:
        at = -1
        assert text.encode() in content
        while (at := content.find(text.encode(), at + 1)) >= 0:
            content[at + len(text) - 1] ^= 1

    patch(path, turn)
