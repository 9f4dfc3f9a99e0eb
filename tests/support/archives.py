"""Logs whose old bodies are in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from persistence.records import Row
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row

ALL = 1_000_000
EVER = 1 << 62


def usage(count: int, **fields: Any) -> list[Row]:
    return [
        make_row(seq, f"user-{seq % 3}", key=f"k{seq}", body=f'{{"p":"exa","n":{seq}}}', **fields)
        for seq in range(1, count + 1)
    ]


async def archive_all(journal: SQLiteJournal, limit: int = 100_000) -> int:
    moved = 0
    while due := await journal.archivable(EVER, limit, 1):
        moved += await journal.archive(due.last)
    return moved


def files_of(directory: Path) -> list[Path]:
    return sorted((directory / "archive").iterdir(), key=lambda path: path.stat().st_ino)
