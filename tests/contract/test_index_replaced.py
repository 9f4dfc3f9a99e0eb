"""A damaged index is read around, and replaced, without keeping others waiting or losing more."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from persistence.errors import BeingMade, Damaged, Refused
from persistence.sqlite import index_rebuild, lending
from persistence.sqlite.blocks import Run
from persistence.sqlite.connection import Connection
from persistence.sqlite.index_file import INDEX, Unusable
from persistence.sqlite.index_source import Source
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.lending import attach
from tests.contract.test_index_damaged import LUMP, agree, drawn, filled, in_index, modelled
from tests.support.rig import until


async def test_a_new_file_that_is_not_whole_without_its_wal_does_not_take_the_place_of_the_old_one(
    directory: Path, random_: random.Random
) -> None:
    rows = drawn(random_, 1, 5 * LUMP)
    await filled(directory, rows)
    in_index(directory, ("UPDATE blocks SET body = '{}' WHERE run = 1 AND section = 1", ()))
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    rebuild, before = journal._index._rebuild, journal._index.shelf
    chase = rebuild._chase

    async with AsyncExitStack() as stack:
        stack.push_async_callback(journal.close)

        async def chased(filler: Connection, runs: list[Run], file: int) -> None:
            if not runs:  # while another program reads it the WAL cannot be copied at a close
                reader = sqlite3.connect(directory / f"{INDEX}.new", isolation_level=None)
                stack.callback(reader.close)
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM runs").fetchall()
            await chase(filler, runs, file)

        rebuild._chase = chased  # type: ignore[method-assign]
        with pytest.raises(Unusable, match="WAL"):
            await rebuild._made()
        assert journal._index.shelf is before
        assert (await agree(journal, await modelled(rows), rows, random_))[1] == 0


async def test_questions_that_need_different_damaged_runs_do_not_make_each_other_read_the_log_again(
    directory: Path, random_: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_rebuild.Rebuild, "start", lambda *_: None)
    rows = drawn(random_, 1, 6 * LUMP)
    await filled(directory, rows)
    in_index(directory, ("UPDATE blocks SET body = '{}' WHERE run IN (1, 3, 5)", ()))
    model = await modelled(rows)
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    scans, refused, lump, gate = 0, 0, Source.lump, asyncio.Event()

    async def counted(source: Source, *args: Any, **options: Any) -> Any:
        nonlocal scans
        scans += 1
        await gate.wait()
        return await lump(source, *args, **options)

    async def ask(number: int) -> bool:
        nonlocal refused
        before = (1, 3, 5)[number % 3] * LUMP + 1
        try:
            found = await journal.newest("bob", before, 2)
        except BeingMade:
            refused += 1
            return False
        assert found == await model.newest("bob", before, 2)
        return True

    monkeypatch.setattr(Source, "lump", counted)
    try:
        asking = asyncio.gather(*[ask(number) for number in range(60)])
        scanning = journal._index.shelf._scans
        await until(lambda: scanning.total() + refused == 60)
        gate.set()
        assert any(await asking)
        assert refused > 0
        assert scans <= 4
        assert await ask(0), "whoever asks alone is answered"
        assert await ask(1)
        assert await ask(2)
    finally:
        await journal.close()


async def test_if_a_damaged_row_keeps_the_file_from_being_made_nobody_is_told_to_come_again(
    directory: Path, random_: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_rebuild, "READY_ROWS", 10)
    await filled(directory, drawn(random_, 1, 6 * LUMP))
    (directory / INDEX).unlink()
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        db.execute("DROP TRIGGER log_is_never_changed")
        db.execute("UPDATE log SET at = at + 1 WHERE seq = 40")
        db.commit()
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    try:
        rebuild = journal._index._rebuild
        await until(lambda: rebuild._stopped_by is not None)
        with pytest.raises(Damaged, match="row 40 of"):
            await journal.history("alice", 0, 1_000)
    finally:
        await journal.close()


async def test_a_damaged_row_that_the_index_lacks_is_refused_with_what_to_do(
    directory: Path, random_: random.Random
) -> None:
    await filled(directory, drawn(random_, 1, 10))
    (directory / INDEX).unlink()
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        db.execute("DROP TRIGGER log_is_never_changed")
        db.execute("UPDATE log SET user_id = 'mallory' WHERE seq = 4")
        db.commit()
    with pytest.raises(Refused, match=r"row 4 of meterd.db is not as it was written.*meterd mend"):
        await SQLiteJournal.open(directory, FORM)


@pytest.mark.parametrize("fails", ["at once", "when it is half done"])
async def test_a_file_that_could_not_be_lent_is_lent_when_it_is_replaced_again(
    directory: Path, random_: random.Random, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    rows = drawn(random_, 1, 5 * LUMP)
    await filled(directory, rows)
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    rebuild = journal._index._rebuild

    async def fail(connection: Connection, path: Path) -> None:
        if fails == "when it is half done":
            await attach(connection, path)
        raise sqlite3.OperationalError("disk I/O error")

    async with AsyncExitStack() as stack:
        stack.push_async_callback(journal.close)
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(lending, "attach", fail)
                with pytest.raises(sqlite3.OperationalError, match="I/O"):
                    await rebuild._made()
        await rebuild._made()
        assert (await agree(journal, await modelled(rows), rows, random_))[1] == 0


async def test_a_journal_whose_index_could_not_be_lent_is_closed_all_the_same(
    directory: Path, random_: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(directory, drawn(random_, 1, 5 * LUMP))
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)

    async def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    try:
        with monkeypatch.context() as patch:
            patch.setattr(lending, "attach", fail)
            with pytest.raises(sqlite3.OperationalError, match="I/O"):
                await journal._index._rebuild._made()
    finally:
        await journal.close()
    await (await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)).close()
