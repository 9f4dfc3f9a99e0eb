"""A log of many users whose periods all ended at the same moment, and whom nobody told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from messages.stored.form import FORM
from messages.subjects import encode_user, partition_of
from persistence.records import Row
from persistence.sqlite.journal import SQLiteJournal
from tests.support.meter import micros
from tests.support.rig import Rig

PERIOD: Final = "2026-03"
END: Final = micros("2026-04-01T00:00:00Z")
"""Also of the last one: whoever reads the log now finds all of them over."""
_BLOCK: Final = 2_000


async def write_ended(directory: Path, users: int) -> list[str]:
    """Make the log in a directory: each user has made one call; their ids."""
    rig = await Rig.start(at=END - 1_000_000)
    await rig.ask("track", provider="gemini", tokens_input=1_000)
    rows = await rig.inner.rows(0, 10)
    await rig.stop()
    journal = await SQLiteJournal.open(directory, FORM)
    names = [f"u{number}" for number in range(users)]
    block: list[Row] = []
    seq = 0
    for name in names:
        partition = partition_of(encode_user(name))
        for row in rows:
            seq += 1
            block.append(row._replace(seq=seq, partition=partition, user=name))
        if len(block) >= _BLOCK:
            await journal.append(block)
            block = []
    await journal.append(block)
    await journal.close()
    return names
