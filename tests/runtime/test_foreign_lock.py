"""Another program keeps a write lock on the database: who does not write does not notice."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rig import Start


async def test_while_a_write_waits_for_the_lock_other_users_reads_are_answered(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.sqlite.connection.BUSY_TIMEOUT_S", 60.0)
    journal = await SQLiteJournal.open(tmp_path, FORM, ticks=lambda: 0)
    rig = await start(journal)
    try:
        for user in ("alice", "bob"):
            await rig.answer(rig.track(user))
        with closing(sqlite3.connect(tmp_path / "meterd.db", isolation_level=None)) as outside:
            outside.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(rig.answer(rig.track("alice")))
            assert (await rig.ask("stats", "bob")).body["total_calls"] == 1
            assert (await rig.ask("stats", "carol")).body["total_calls"] == 0  # from the log
            assert not waiting.done()
            outside.execute("ROLLBACK")
            assert "error" not in (await waiting).body
        assert (await rig.ask("stats", "alice")).body["total_calls"] == 2
    finally:
        await rig.stop()
        await journal.close()
