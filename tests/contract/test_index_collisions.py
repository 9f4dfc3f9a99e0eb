"""Keys of one user that have one mark are told apart, wherever their rows are."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

from messages.stored.form import FORM
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row

OLD, NEW = "008b1f5a94d0f89b", "a5e4f38482e4f669"


async def test_a_new_key_with_the_mark_of_an_old_one_does_not_hide_it(tmp_path: Path) -> None:
    assert crc32(OLD.encode()) == crc32(NEW.encode())
    rows = [make_row(seq, f"user-{seq % 5}", key=f"k{seq}") for seq in range(1, 201)]
    rows[0] = make_row(1, "alice", key=OLD)
    rows[169] = make_row(170, "alice", key=NEW)
    rows[199] = make_row(200, "alice", key="k200")
    journal = await SQLiteJournal.open(tmp_path, FORM, lump_rows=20)
    try:
        for begin in range(0, 200, 20):
            await journal.append(rows[begin : begin + 20])
        await journal._index.filled.wait()
        assert len(journal._index.shelf.runs) > 8
        for keys in ([OLD], [NEW], [OLD, NEW], [OLD, "k200"], [OLD, OLD], [OLD, "never used"]):
            found = await journal.find_all("alice", keys)
            assert found == {row.key: row for row in rows if row.key in keys}, keys
    finally:
        await journal.close()
