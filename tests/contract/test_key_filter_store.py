"""The filter of keys beside the log: kept for the next start, and never believed against the log.

That a start has read the file, and not the whole log, is seen by a key that only the file has.
"""

# ruff: noqa: ASYNC240 -- nothing else runs on the loop of these tests

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from messages.stored.form import FORM
from persistence.errors import Corrupt
from persistence.key_filter import KeyFilter
from persistence.records import Row
from persistence.sqlite import key_filter_file, key_filter_store
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_rows

MARK = ("nobody", "in no log")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_filter_store, "SAVE_ROWS", 100)
    monkeypatch.setattr(key_filter_store, "CLOSE_ROWS", 10)


@pytest.fixture
def rows() -> list[Row]:
    return make_rows(random.Random(1), 1, 500)


async def open_with(directory: Path) -> tuple[SQLiteJournal, KeyFilter]:
    journal, keys = await SQLiteJournal.open(directory, FORM, lump_rows=50), KeyFilter(1_000)
    await journal.load_keys(keys)
    return journal, keys


async def put(journal: SQLiteJournal, keys: KeyFilter, rows: list[Row]) -> None:
    for row in rows:
        if row.key is not None:
            keys.claim(row.user, row.key)
    await journal.append(rows)


async def settle(journal: SQLiteJournal) -> None:
    assert journal._keys is not None
    if journal._keys._saving is not None:
        await journal._keys._saving


async def fill(directory: Path, rows: list[Row]) -> None:
    """A log of these rows, and a file up to its end with the mark."""
    journal, keys = await open_with(directory)
    keys.claim(*MARK)
    await put(journal, keys, rows)
    await journal.close()


async def start(directory: Path, rows: list[Row]) -> bool:
    """Start; every key is there. Whether the mark is."""
    journal, keys = await open_with(directory)
    assert not any(keys.surely_new(row.user, row.key) for row in rows if row.key is not None)
    await journal.close()
    return not keys.surely_new(*MARK)


def position(directory: Path) -> int:
    return key_filter_file.read(directory / key_filter_store.FILE).seq


async def test_a_start_reads_the_file_that_a_close_wrote(directory: Path, rows: list[Row]) -> None:
    await fill(directory, rows)

    assert position(directory) == 500
    assert await start(directory, rows)
    path = directory / key_filter_store.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert not path.with_name(f"{path.name}.new").exists()


async def test_a_close_after_few_rows_leaves_the_file_alone(
    directory: Path, rows: list[Row]
) -> None:
    await fill(directory, rows[:9])
    assert not (directory / key_filter_store.FILE).exists()
    assert not await start(directory, rows[:9])


async def test_the_file_is_written_as_the_log_grows(directory: Path, rows: list[Row]) -> None:
    journal, keys = await open_with(directory)
    keys.claim(*MARK)
    written = []
    for at in range(0, 500, 20):
        await put(journal, keys, rows[at : at + 20])
        await settle(journal)
        if (directory / key_filter_store.FILE).exists():
            written.append(position(directory))
    assert sorted(set(written)) == [100, 200, 300, 400, 500]
    await journal.close()


async def test_keys_that_the_file_lacks_are_read_from_the_log(
    directory: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(directory, rows[:150])
    with monkeypatch.context() as patch:  # killed: nothing is written at the end
        patch.setattr(key_filter_store.KeyStore, "grown", lambda *_: None)
        patch.setattr(key_filter_store, "CLOSE_ROWS", 1_000)
        journal, keys = await open_with(directory)
        await put(journal, keys, rows[150:])
        await journal.close()
    assert position(directory) == 150
    assert await start(directory, rows)


async def test_the_file_and_the_index_may_be_of_different_moments(
    directory: Path, rows: list[Row]
) -> None:
    await fill(directory, rows)
    (directory / "index.db").unlink()  # the filter is ahead of it
    assert await start(directory, rows)
    (directory / key_filter_store.FILE).unlink()  # the index is ahead of it
    assert not await start(directory, rows)


async def test_many_keys_that_the_file_lacks_are_read_behind_the_service(
    directory: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(directory, rows[:400])
    (directory / key_filter_store.FILE).unlink()
    monkeypatch.setattr(key_filter_store, "FILL_ROWS", 300)
    monkeypatch.setattr(key_filter_store, "ROWS_AT_ONCE", 10)
    with capture_logs() as lines:
        journal, keys = await open_with(directory)
        assert not keys.surely_new("nobody", "new")  # nothing is, before all are there
        await put(journal, keys, rows[400:])
        assert journal._keys is not None
        assert journal._keys._filling is not None
        await journal._keys._filling
    assert [line["event"] for line in lines] == ["keys_complete"]
    assert keys.surely_new("nobody", "new")
    assert not any(keys.surely_new(row.user, row.key) for row in rows if row.key is not None)
    await journal.close()
    assert position(directory) == 500


async def test_a_filter_that_is_not_complete_yet_is_not_written(
    directory: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(directory, rows)
    (directory / key_filter_store.FILE).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(key_filter_store, "FILL_ROWS", 300)
        journal, keys = await open_with(directory)
        await journal.close()
    assert not keys.complete
    assert not (directory / key_filter_store.FILE).exists()
    assert not await start(directory, rows)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-500] ^= 1
    path.write_bytes(data)


def replace(old: bytes, new: bytes) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(path.read_bytes().replace(old, new)), None)[1]


@pytest.mark.parametrize(
    "harm",
    [
        Path.unlink,
        cut,
        flip,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"mtrdkeys\xff\xff\xff\x7f"),
        lambda path: path.write_bytes(b"once upon a time " * 100),
        replace(b'"version":1', b'"version":2'),
        replace(b'"seq":500', b'"seq":499'),
        replace(b'"left":[', b'"left":[1,'),
    ],
)
async def test_a_file_that_cannot_be_used_is_made_anew(
    directory: Path, rows: list[Row], harm: Callable[[Path], Any]
) -> None:
    await fill(directory, rows)
    harm(directory / key_filter_store.FILE)

    assert not await start(directory, rows)
    assert position(directory) == 500  # and the next start reads it
    assert key_filter_file.read(directory / key_filter_store.FILE).anchor != ""


async def test_a_file_of_another_log_is_made_anew(directory: Path, rows: list[Row]) -> None:
    await fill(directory, make_rows(random.Random(2), 1, 500))
    for name in ("meterd.db", "meterd.mark", "index.db"):
        (directory / name).unlink()
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.append(rows)
    await journal.close()

    assert not await start(directory, rows)


async def test_a_file_ahead_of_the_log_is_made_anew(directory: Path, rows: list[Row]) -> None:
    await fill(directory, rows)
    with closing(sqlite3.connect(directory / "meterd.db", isolation_level=None)) as db:
        db.execute("DROP TRIGGER log_is_never_removed")
        db.execute("DELETE FROM log WHERE seq > 300")  # as a restored copy of before
    (directory / "meterd.mark").unlink()

    assert not await start(directory, rows[:300])
    assert position(directory) == 300


async def test_a_write_that_fails_leaves_the_old_file_and_the_service_running(
    directory: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(directory, rows[:150])

    def fail(*_: object) -> None:
        raise OSError(28, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr("persistence.sqlite.key_filter_file.os.fsync", fail)
        journal, keys = await open_with(directory)
        await put(journal, keys, rows[150:])
        await settle(journal)
        await journal.close()
    assert position(directory) == 150
    assert sorted(path.name for path in directory.iterdir() if "keys" in path.name) == [
        key_filter_store.FILE
    ]
    assert await start(directory, rows)


async def test_a_key_put_in_during_the_write_is_in_the_file_or_behind_its_position(
    directory: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, keys = await open_with(directory)
    pieces = key_filter_file._pieces

    def slowly(*args: Any) -> Any:
        for number, piece in enumerate(pieces(*args)):
            keys.claim("late", f"{number}")  # what the loop does meanwhile
            yield piece

    monkeypatch.setattr(key_filter_file, "_pieces", slowly)
    await put(journal, keys, rows)
    await settle(journal)
    key_filter_file.read(directory / key_filter_store.FILE)  # its checksum is right
    await journal.close()
    assert not await start(directory, rows)


def test_a_write_while_another_process_would_be_half_done_is_seen(tmp_path: Path) -> None:
    keys = KeyFilter(100)
    key_filter_file.write(tmp_path / "f", keys.parts(), 7, "a")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    data = (tmp_path / "f").read_bytes()
    for end in range(0, len(data), 7):
        (tmp_path / "g").write_bytes(data[:end])
        with pytest.raises(Corrupt):
            key_filter_file.read(tmp_path / "g")
    assert key_filter_file.read(tmp_path / "f")[1:] == (7, "a")


def test_a_larger_file_is_due_after_more_rows() -> None:
    assert key_filter_store.due_rows(KeyFilter(1_000)) == 100
    size = sum(part.words.nbytes for part in KeyFilter(1_000_000).parts())
    assert key_filter_store.due_rows(KeyFilter(1_000_000)) == size // 200
