"""Where a block is written: on the event loop, or in the connection's thread."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_rows


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
