"""Where a block is written: on the event loop, or in the connection's thread."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from persistence.errors import Locked
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row, make_rows


async def test_a_block_is_written_on_the_loop_only_while_the_thread_has_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await SQLiteJournal.open(tmp_path, FORM, ticks=lambda: 0)
    writer, gate, here = journal._writer, threading.Event(), []
    write_here = writer.write_here

    def seen(*args: Any) -> Any:
        here.append(len(args[1]))
        return write_here(*args)

    monkeypatch.setattr(writer, "write_here", seen)
    busy = asyncio.create_task(writer.call(lambda _: gate.wait(10)))

    async def release() -> None:  # tasks begin in order: the other two have by now
        busy.cancel()  # the thread goes on all the same
        assert not writer.idle
        gate.set()

    random_ = random.Random(1)
    behind, alone = make_rows(random_, 1, 3), make_rows(random_, 4, 2)
    try:
        appending = journal.append(behind)
        results = await asyncio.gather(busy, appending, release(), return_exceptions=True)
        assert [type(result) for result in results[1:]] == [type(None)] * 2, results
        assert here == []
        await journal.append(alone)
        assert here == [2]
        assert await journal.rows(0, 10) == behind + alone
    finally:
        gate.set()
        await journal.close()


@pytest.mark.parametrize("count", [1, 1_024])
async def test_while_another_program_has_a_write_lock_the_loop_and_other_reads_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr("persistence.sqlite.connection.BUSY_TIMEOUT_S", 60.0)
    journal = await SQLiteJournal.open(tmp_path, FORM, ticks=lambda: 0)
    first, then = [make_row(1, "bob")], [make_row(seq) for seq in range(2, 2 + count)]
    await journal.append(first)
    waits = threading.Event()
    beside = journal._append_beside

    def seen(*args: Any) -> Any:
        waits.set()
        return beside(*args)

    monkeypatch.setattr(journal, "_append_beside", seen)
    try:
        with closing(sqlite3.connect(tmp_path / "meterd.db", isolation_level=None)) as outside:
            outside.execute("BEGIN IMMEDIATE")
            appending = asyncio.create_task(journal.append(then))
            await asyncio.to_thread(waits.wait, 60)
            assert await journal.history("bob", 0, 10) == first
            assert not appending.done()
            outside.execute("ROLLBACK")
            await appending
        assert await journal.rows(0, 2_000) == first + then
        await journal.append([make_row(2 + count)])
    finally:
        await journal.close()


async def test_a_lock_that_the_thread_waits_for_too_long_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.sqlite.connection.BUSY_TIMEOUT_S", 0.001)
    journal = await SQLiteJournal.open(tmp_path, FORM, ticks=lambda: 0)
    try:
        with closing(sqlite3.connect(tmp_path / "meterd.db", isolation_level=None)) as outside:
            outside.execute("BEGIN IMMEDIATE")
            with pytest.raises(Locked, match="SQLITE_BUSY"):
                await journal.append([make_row(1)])
        await journal.append([make_row(1, key="k")])
        assert await journal.rows(0, 10) == [make_row(1, key="k")]
    finally:
        await journal.close()
