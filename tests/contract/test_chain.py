"""The chain of digests finds what was changed by hand, and nothing else."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from messages.stored.form import FORM
from messages.subjects import PARTITIONS
from persistence.chain import schema5
from persistence.chain.chain import START, about_of, follow, heads_of_bytes
from persistence.chain.check import Broken, Heads
from persistence.errors import Refused
from persistence.records import Row
from persistence.sqlite import schema
from persistence.sqlite.heads import put_heads
from persistence.sqlite.high_water_mark import MARK
from persistence.sqlite.insert import HEADS_EVERY
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row, make_snapshot

TRIGGERS = "DROP TRIGGER log_is_never_changed; DROP TRIGGER log_is_never_removed;"

SWAP = """
UPDATE log SET seq = 100 WHERE seq = 4;
UPDATE log SET seq = 4 WHERE seq = 5;
UPDATE log SET seq = 5 WHERE seq = 100;
"""
CHANGED = "not as it was written, or behind one that is gone"


async def written(directory: Path, *blocks: int, users: Sequence[str] = ("alice",)) -> None:
    """A log of blocks of so many rows each, of users in turn; every third has personal fields."""
    journal = await SQLiteJournal.open(directory, FORM)
    for size in blocks:
        last = await journal.last_seq()
        await journal.append(
            [
                make_row(
                    seq,
                    users[seq % len(users)],
                    key=f"k{seq}",
                    personal=None if seq % 3 else f'{{"ip_address":"10.0.0.{seq}"}}',
                )
                for seq in range(last + 1, last + size + 1)
            ]
        )
    await journal.close()


def edit(directory: Path, script: str) -> None:
    (directory / MARK).unlink(missing_ok=True)  # which tells of an end that is gone
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        db.executescript(TRIGGERS + script)


def broken(directory: Path, *kept: Heads) -> list[Broken]:
    with Inspection.open(directory) as log:
        check = log.chain(kept)
        found = [
            one for row, proof, link, _ in log.written() for one in check.take(row, proof, link)
        ]
        return [*found, *check.end()]


def heads(directory: Path) -> Heads:
    with Inspection.open(directory) as log:
        return log.newest_heads()


async def test_a_log_as_it_was_written_has_nothing_broken(directory: Path) -> None:
    await written(directory, 3, 1, 2000, users=["alice", "bob", "carol"])
    await written(directory, 5, HEADS_EVERY, 1)
    assert broken(directory) == []


@pytest.mark.parametrize(
    "script",
    [
        "UPDATE log SET body = '{\"cost_nano\":1}' WHERE seq = 5",
        "UPDATE log SET at = at + 1 WHERE seq = 5",
        "UPDATE log SET user_id = 'bob' WHERE seq = 5",
        "UPDATE log SET partition = 1 WHERE seq = 5",
        "UPDATE log SET partition = 64 WHERE seq = 5",
        "UPDATE log SET partition = -1 WHERE seq = 5",
        "UPDATE log SET event_id = NULL WHERE seq = 5",
        "UPDATE log SET event_id = x'00' WHERE seq = 5",
        "UPDATE log SET kind = 'reset' WHERE seq = 5",
        "UPDATE log SET notify = 1 WHERE seq = 5",
        'UPDATE log SET personal = \'{"ip_address":"::1"}\' WHERE seq = 5',
        "UPDATE log SET chain = x'00' WHERE seq = 5",
        "UPDATE log SET chain = NULL WHERE seq = 5",
    ],
)
@pytest.mark.parametrize("blocks", [(9,), (3, 3, 3), (1,) * 9])
async def test_a_row_that_was_changed_is_found_and_named(
    directory: Path, script: str, blocks: tuple[int, ...]
) -> None:
    await written(directory, *blocks)
    edit(directory, script)
    assert broken(directory)[0] == Broken(5, 5, CHANGED)


@pytest.mark.parametrize(
    "script",
    [
        'UPDATE log SET personal = \'{"ip_address":"10.0.0.7"}\' WHERE seq = 6',
        "UPDATE log SET personal = NULL WHERE seq = 6",
        "UPDATE log SET personal = '{}' WHERE seq = 6",
        "UPDATE log SET personal = x'00' WHERE seq = 6",
        "UPDATE log SET personal = '{}', proof = x'00' WHERE seq = 6",
        "UPDATE log SET personal = '{}', proof = zeroblob(100) WHERE seq = 6",
        "UPDATE log SET proof = randomblob(16) WHERE seq = 6",
        "UPDATE log SET proof = 'text' WHERE seq = 6",
    ],
)
async def test_personal_fields_that_were_changed_and_not_erased_are_found(
    directory: Path, script: str
) -> None:
    await written(directory, 9)
    edit(directory, script)
    assert broken(directory) == [Broken(6, 6, CHANGED)]


async def test_rows_that_changed_places_are_found(directory: Path) -> None:
    await written(directory, 9)
    edit(directory, SWAP)
    assert {found[:2] for found in broken(directory)} >= {(4, 4), (5, 5)}


async def test_a_row_that_was_removed_is_found_by_the_gap_and_by_the_row_behind_it(
    directory: Path,
) -> None:
    await written(directory, 9)
    edit(directory, "DELETE FROM log WHERE seq = 5")
    assert broken(directory) == [Broken(5, 5, "missing"), Broken(6, 6, CHANGED)]


async def test_a_removed_row_is_found_also_if_another_took_its_position(directory: Path) -> None:
    await written(directory, 9)
    edit(directory, "DELETE FROM log WHERE seq = 5; UPDATE log SET seq = 5 WHERE seq = 9")
    assert Broken(5, 5, CHANGED) in broken(directory)


async def test_a_row_that_is_changed_breaks_the_chain_of_its_partition_only(
    directory: Path,
) -> None:
    await written(directory, 8, users=["alice", "bob"])
    edit(directory, "UPDATE log SET chain = zeroblob(16) WHERE seq = 3")
    assert broken(directory) == [Broken(3, 3, CHANGED), Broken(5, 5, CHANGED)]


async def test_rows_after_a_changed_one_are_judged_by_themselves(directory: Path) -> None:
    await written(directory, 1, 1, 1, 1)
    edit(directory, "UPDATE log SET body = '[]' WHERE seq IN (1, 3)")
    assert [found.first for found in broken(directory)] == [1, 3]


async def test_whoever_makes_all_later_links_anew_is_found_by_links_that_were_kept(
    directory: Path,
) -> None:
    await written(directory, 4, 4, users=["alice", "bob"])
    kept = heads(directory)._replace(where="mine")
    await written(directory, 2)
    assert broken(directory, kept) == []
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        db.executescript(TRIGGERS + "UPDATE log SET body = '[]' WHERE seq = 3")
        columns = "seq, partition, user_id, event_id, kind, at, notify, body, personal, proof"
        links = heads_of_bytes(b"")
        for *fields, proof in db.execute(f"SELECT {columns} FROM log ORDER BY seq").fetchall():
            row = Row._make((*fields[:6], bool(fields[6]), *fields[7:]))
            (new,) = follow(links, [row], [about_of(row.personal, proof)])
            db.execute("UPDATE log SET chain = ? WHERE seq = ?", (new, row.seq))
        db.commit()
    assert broken(directory) == []
    (found,) = broken(directory, kept)
    assert found[:2] == (8, 8)
    assert found.why.startswith("the links are not those of mine, in partitions [")


async def test_newest_rows_that_were_removed_are_found_by_links_that_were_kept(
    directory: Path,
) -> None:
    await written(directory, 4, 4)
    kept = heads(directory)._replace(where="mine")
    edit(directory, "DELETE FROM log WHERE seq > 6")
    assert broken(directory) == []  # nobody can know
    assert broken(directory, kept) == [Broken(7, 8, "missing: mine has them")]


async def test_the_log_keeps_links_of_its_own_which_have_to_be_those_of_the_rows(
    directory: Path,
) -> None:
    await written(directory, HEADS_EVERY - 1, 3, 2)
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        assert db.execute("SELECT seq FROM heads").fetchall() == [(0,), (HEADS_EVERY + 2,)]
        put_heads(db, HEADS_EVERY + 2, [START] * PARTITIONS)
        db.commit()
    (found,) = broken(directory)
    assert found[:2] == (HEADS_EVERY + 2,) * 2
    assert "the log's own note" in found.why


async def erased(directory: Path, user: str) -> int:
    journal = await SQLiteJournal.open(directory, FORM)
    count = await journal.erase(user)
    await journal.close()
    return count


async def test_personal_fields_that_were_erased_leave_the_chain_whole(directory: Path) -> None:
    await written(directory, 7, 5, users=["alice", "bob"])
    kept = heads(directory)
    assert await erased(directory, "bob") == 2
    await written(directory, 3, users=["bob"])
    assert broken(directory, kept) == []


async def test_erased_personal_fields_of_an_older_row_leave_the_chain_whole(
    directory: Path,
) -> None:
    make_older(directory, 5, of_alice(1, 4))
    assert await erased(directory, "alice") == 1
    assert broken(directory) == []


async def test_the_files_have_nothing_of_what_was_erased(directory: Path) -> None:
    journal = await SQLiteJournal.open(directory, FORM)
    secrets = [f"10.20.30.{n} said so" for n in range(100)]
    rows = [make_row(n, personal=f'{{"error_message":"{it}"}}') for n, it in enumerate(secrets, 1)]
    await journal.append(rows[:50])
    await journal.append(rows[50:])
    assert await journal.erase("alice") == 100
    files = {file.name: file.read_bytes() for file in directory.iterdir()}  # noqa: ASYNC240 -- as above
    assert [
        name for name, found in files.items() if any(it.encode() in found for it in secrets)
    ] == []
    assert len(files) >= 4
    await journal.close()


async def test_nobody_can_try_out_what_was_erased(directory: Path) -> None:
    """Two rows of the same content leave different traces."""
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.append([make_row(n, personal='{"ip_address":"::1"}') for n in (1, 2)])
    await journal.erase("alice")
    await journal.close()
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        proofs = [proof for (proof,) in db.execute("SELECT proof FROM log")]
    assert len(set(proofs)) == 2


@pytest.mark.parametrize("stored", ["zeroblob(17)", "'text'"])
async def test_kept_links_that_cannot_be_read_are_no_start(directory: Path, stored: str) -> None:
    await written(directory, 2)
    edit(directory, f"UPDATE heads SET links = {stored}")
    with pytest.raises(Refused, match="the log's own notes of its newest links"):
        await SQLiteJournal.open(directory, FORM)


async def test_the_chain_goes_on_after_a_write_that_failed(directory: Path) -> None:
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.append([make_row(1)])
    with pytest.raises(Exception, match="UNIQUE"):
        await journal.append([make_row(1)])
    await journal.append([make_row(2)])
    await journal.append([], [make_snapshot("alice", 2)])
    await journal.append([make_row(3)])
    await journal.close()
    assert broken(directory) == []


@pytest.mark.parametrize("script", ["chain = NULL", "chain = 'text'", "partition = 64"])
async def test_a_newest_row_that_was_changed_is_refused_since_nobody_knows_whose_it_is(
    directory: Path, script: str
) -> None:
    await written(directory, 3)
    edit(directory, f"UPDATE log SET {script} WHERE seq = 3")
    with pytest.raises(Refused, match=r"row 3 of meterd.db is not as it was written"):
        await SQLiteJournal.open(directory, FORM)
    assert broken(directory) == [Broken(3, 3, CHANGED)]


@pytest.mark.parametrize("script", ["event_id = x'00'", "user_id = x'00'"])
async def test_a_newest_row_of_other_types_is_refused_in_a_line(
    directory: Path, script: str
) -> None:
    await written(directory, 3)
    edit(directory, f"UPDATE log SET {script} WHERE seq = 3")
    with pytest.raises(Refused, match=r"row 3 of meterd.db is not as it was written"):
        await SQLiteJournal.open(directory, FORM)


async def test_the_newest_links_are_found_at_a_start_wherever_the_log_ends(
    directory: Path,
) -> None:
    rng = random.Random(seed := 20_261_126)
    print(f"seed {seed}")
    for _ in range(12):
        users = [f"user-{rng.randrange(90)}" for _ in range(rng.randrange(1, 9))]
        await written(directory, *(rng.randrange(1, 900) for _ in range(3)), users=users)
    assert broken(directory) == []


def make_older(directory: Path, version: int, *blocks: Sequence[Row]) -> None:
    """A log of an older schema, whose chain has a link for each block."""
    directory.mkdir(mode=0o700)
    with closing(sqlite3.connect(directory / "meterd.db", isolation_level=None)) as db:
        for _, script in schema.migrations()[:version]:
            db.executescript(script)
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")
        before = schema5.START
        for rows in blocks:
            before = schema5.link(before, rows)
            for row in rows:
                last = before if row is rows[-1] else None
                chain = [] if version == 1 else [last]
                db.execute(
                    f"INSERT INTO log VALUES ({', '.join('?' * (9 + len(chain)))})", (*row, *chain)
                )


def of_alice(first: int, last: int) -> list[Row]:
    return [
        make_row(seq, personal=None if seq % 3 else '{"ip_address":"::1"}')
        for seq in range(first, last + 1)
    ]


async def test_rows_from_before_the_chain_are_left_alone_and_it_begins_after_them(
    directory: Path,
) -> None:
    make_older(directory, 1, of_alice(1, 2))
    await written(directory, 2, 2)
    assert broken(directory) == []
    edit(directory, "UPDATE log SET body = '[]' WHERE seq = 3")
    assert broken(directory) == [Broken(3, 3, CHANGED)]


OLDER = [
    ("UPDATE log SET body = '[]' WHERE seq = 2", [(1, 3)]),
    ("UPDATE log SET body = '[]' WHERE seq = 4", [(4, 5)]),
    ("UPDATE log SET chain = x'00' WHERE seq = 5", [(4, 5), (5, 5)]),
    ("DELETE FROM log WHERE seq = 2", [(2, 2), (1, 3)]),
    ("DELETE FROM log WHERE seq = 5", [(5, 5), (4, 4)]),
    ("DELETE FROM log WHERE seq BETWEEN 4 AND 5", [(4, 5)]),
    ("DELETE FROM log WHERE seq > 3", [(4, 5)]),
    ("UPDATE heads SET links = zeroblob(16) WHERE seq = 5", [(5, 5), (6, 6)]),
    ("UPDATE log SET at = at + 1 WHERE seq = 6", [(6, 6)]),
]


@pytest.mark.parametrize(("script", "found"), OLDER)
async def test_blocks_of_an_older_schema_keep_their_links_and_the_rows_behind_build_on_them(
    directory: Path, script: str, found: list[tuple[int, int]]
) -> None:
    make_older(directory, 5, of_alice(1, 3), of_alice(4, 5))
    await written(directory, 2, 2)
    assert broken(directory) == []
    edit(directory, script)
    assert [(first, last) for first, last, _ in broken(directory)] == found


async def test_an_older_log_to_which_nothing_was_added_has_nothing_broken(directory: Path) -> None:
    make_older(directory, 5, of_alice(1, 3))
    await (await SQLiteJournal.open(directory, FORM)).close()
    assert broken(directory) == []
    edit(directory, "DELETE FROM log WHERE seq = 3")
    assert broken(directory)


def test_a_directory_without_a_log_is_refused(directory: Path) -> None:
    with pytest.raises(Refused, match="there is no"):
        Inspection.open(directory)
