"""A start that is given up while the journal is opened: nothing of it stays."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from persistence.sqlite.connection import Connection
from persistence.sqlite.journal import SQLiteJournal

JOIN_S = 10.0


async def opened_until(directory: Path, count: int, patch: pytest.MonkeyPatch) -> bool:
    """Open and close the journal, given up at its ``count``-th hop; whether it had so many."""
    hops, original = 0, Connection._execute

    async def execute(self: Connection, *args: Any) -> Any:
        nonlocal hops
        hops += 1
        if hops == count:
            opening.cancel()  # which is heard in the middle of this very hop
        return await original(self, *args)  # type: ignore[no-untyped-call]

    with patch.context() as patched:
        patched.setattr(Connection, "_execute", execute)
        opening = asyncio.ensure_future(SQLiteJournal.open(directory, FORM))
        await asyncio.wait([opening])
    if not opening.cancelled():
        await opening.result().close()
    return not opening.cancelled()


@pytest.mark.parametrize("is_new", [True, False])
async def test_an_open_that_is_given_up_anywhere_leaves_no_thread_and_no_lock(
    is_new: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that is left keeps the process from ending."""
    if not is_new:
        await (await SQLiteJournal.open(tmp_path / "0", FORM)).close()
    before, count, done = set(threading.enumerate()), 0, False
    while not done:
        count += 1
        directory = tmp_path / (str(count) if is_new else "0")
        done = await opened_until(directory, count, monkeypatch)
        for thread in set(threading.enumerate()) - before:
            thread.join(JOIN_S)  # it has said that it ends
            assert not thread.is_alive(), f"hop {count}"
        await (await SQLiteJournal.open(directory, FORM)).close()
    assert count > 8
