"""The journal's contract, held against every implementation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from messages.stored.events import ERASED
from messages.stored.form import FORM
from persistence.errors import NotStored
from persistence.journal import Journal
from persistence.key_filter import KeyFilter
from persistence.memory import MemoryJournal
from persistence.records import Entry, Loaded, Row, Snapshot
from persistence.sqlite.journal import SQLiteJournal
from tests.support.faults import FaultyJournal
from tests.support.rows import make_row, make_rows, make_snapshot, of_user

ALL = 1_000_000


@pytest.fixture(
    params=["memory", "sqlite", "sqlite on the loop", "sqlite in small lumps", "faulty"]
)
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    journal: Journal
    if request.param == "sqlite":
        journal = await SQLiteJournal.open(tmp_path / "data", FORM)
    elif request.param == "sqlite on the loop":
        journal = await SQLiteJournal.open(tmp_path / "data", FORM, ticks=lambda: 0)
    elif request.param == "sqlite in small lumps":
        journal = await SQLiteJournal.open(tmp_path / "data", FORM, lump_rows=3)
    else:
        journal = MemoryJournal(FORM)
        if request.param == "faulty":
            journal = FaultyJournal(journal)
    yield journal
    await journal.close()


@pytest.fixture
def random_() -> random.Random:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    return random.Random(seed)


def entries_behind(rows: list[Row], user: str, snapshot: Snapshot | None) -> list[Entry]:
    after = 0 if snapshot is None else snapshot.seq
    found = of_user(rows, user, lambda row: row.seq > after)
    return [(row.seq, row.kind, row.at, row.body) for row in found]


async def loaded(journal: Journal) -> KeyFilter:
    keys = KeyFilter(20_000)
    await journal.load_keys(keys)
    return keys


async def test_an_empty_journal_has_nothing(journal: Journal) -> None:
    assert await journal.last_seq() == 0
    assert await journal.published() == 0
    assert await journal.snapshot("alice") is None
    assert await journal.find("alice", "k") is None
    nothing = Loaded(None, [])
    assert await journal.load(["alice", "bob"], ALL) == {"alice": nothing, "bob": nothing}
    assert await journal.history("alice", 0, ALL) == []
    assert await journal.newest("alice", ALL, ALL) == []
    assert await journal.notices(0, ALL) == []
    assert await journal.rows(0, ALL) == []
    assert (await loaded(journal)).surely_new("alice", "k")


async def test_a_row_comes_back_as_it_was_written(journal: Journal) -> None:
    rows = [
        make_row(1, "alice@example.com", key="k", notify=True, personal='{"ip":"::1"}'),
        make_row(2, "ünï✓\U0001f600", key="\x00 'key'\n", kind="reset", body='{"ü":"\\u0000"}'),
        make_row(3)._replace(at=253_402_300_799_999_999),
    ]

    await journal.append(rows)

    found = await journal.rows(0, ALL)
    assert found == rows
    assert [type(field) for row in found for field in row] == [
        type(field) for row in rows for field in row
    ]


async def test_a_snapshot_comes_back_as_it_was_written(journal: Journal) -> None:
    snapshot = make_snapshot("alice", 1, bytes(range(256)), schema=7)

    await journal.append([make_row(1)], [snapshot])

    assert await journal.snapshot("alice") == snapshot


async def test_users_are_loaded_together_as_they_were_written(journal: Journal) -> None:
    names = ["alice@example.com", "ünï✓\U0001f600", "it's", '"quoted"', "back\\slash", "[]"]
    bodies = ['{"ü":"\\u0000"}', "\x00\n\t{", "'[1,2]'", "\U0001f600" * 999, "", "]]"]
    rows = [make_row(n, name, body=bodies[n - 1]) for n, name in enumerate(names, 1)]
    rows += [make_row(n + 6, name, kind="reset") for n, name in enumerate(names, 1)]
    taken = [make_snapshot(name, n, bytes(range(256)) * n) for n, name in enumerate(names[:3], 1)]

    await journal.append(rows, taken)

    assert await journal.load(names, ALL) == {
        name: Loaded(snapshot, entries_behind(rows, name, snapshot))
        for name, snapshot in zip(names, [*taken, None, None, None], strict=True)
    }


async def test_a_snapshot_replaces_the_older_one_of_its_user_only(journal: Journal) -> None:
    other = make_snapshot("bob", 2)
    newer = make_snapshot("alice", 3, b"newer", schema=2)
    await journal.append([make_row(1), make_row(2, "bob")], [make_snapshot("alice", 1), other])

    await journal.append([make_row(3)], [newer])

    assert await journal.snapshot("alice") == newer
    assert await journal.snapshot("bob") == other
    asked = ["bob", "nobody", "alice", "ünï\U0001f600"]
    found = [loaded.snapshot for loaded in (await journal.load(asked, ALL)).values()]
    assert found == [other, None, newer, None]
    assert await journal.load([], ALL) == {}


async def test_snapshots_can_be_written_without_rows(journal: Journal) -> None:
    await journal.append([make_row(1)])

    await journal.append([], [make_snapshot("alice", 1)])

    assert await journal.snapshot("alice") == make_snapshot("alice", 1)
    assert await journal.last_seq() == 1


async def test_an_append_of_nothing_changes_nothing(journal: Journal) -> None:
    await journal.append([])

    assert await journal.last_seq() == 0


@pytest.mark.parametrize("size", [1, 2, 3, 64, 255, 256, 257, 1024, 1025, 2500, 4096])
async def test_a_block_of_any_size_is_stored_whole(
    journal: Journal, random_: random.Random, size: int
) -> None:
    rows = make_rows(random_, 1, size)

    await journal.append(rows)

    assert await journal.rows(0, ALL) == rows
    assert await journal.last_seq() == size


async def test_reads_agree_with_a_plain_list_of_all_rows(
    journal: Journal, random_: random.Random
) -> None:
    model: list[Row] = []
    kept: dict[str, Snapshot] = {}
    for _ in range(20):
        rows = make_rows(random_, len(model) + 1, random_.randrange(1, 40))
        taken = [make_snapshot(row.user, row.seq) for row in rows if random_.random() < 0.1]
        await journal.append(rows, taken)
        model += rows
        kept |= {snapshot.user: snapshot for snapshot in taken}

        user = random_.choice(model).user
        at = random_.randrange(len(model) + 2)
        limit = random_.randrange(1, 30)
        after = of_user(model, user, lambda row: row.seq > at)  # noqa: B023 -- used at once
        before = of_user(model, user, lambda row: row.seq < at)[::-1]  # noqa: B023 -- used at once
        resets = [row for row in before if row.kind == "reset"]
        usage = [row for row in before if row.kind == "usage"]
        assert await journal.last_seq() == len(model)
        assert await journal.history(user, at, limit) == after[:limit]
        known = sorted({row.user for row in model})  # of one row there is one
        users = [*random_.sample(known, min(2, len(known))), "nobody"]
        assert await journal.load(users, limit) == {
            name: Loaded(kept.get(name), entries_behind(model, name, kept.get(name))[:limit])
            for name in users
        }
        assert await journal.newest(user, at, limit) == before[:limit]
        assert await journal.newest(user, at, limit, "reset") == resets[:limit]
        assert await journal.newest(user, at, limit, "usage") == usage[:limit]
        assert await journal.rows(at, limit) == model[at : at + limit]
        notices = [row for row in model[at:] if row.notify]
        assert await journal.notices(at, limit) == notices[:limit]
        noticed = [row for row in before if row.notify]
        assert await journal.noticed(user, at, limit) == noticed[:limit]
        holds = [row for row in before if row.kind == "hold"]
        assert await journal.newest(user, at, limit, "hold") == holds[:limit]
        for row in rows:
            assert row.key is None or await journal.find(row.user, row.key) == row
        mine = {row.key: row for row in model if row.user == user and row.key is not None}
        asked = [*random_.sample(sorted(mine), len(mine) // 2), "never used", "'"]
        found = {key: mine[key] for key in asked if key in mine}
        assert await journal.find_all(user, asked) == found


async def test_any_text_is_a_key(journal: Journal) -> None:
    keys = ["\x00", "\x00a", "", "a\x00b", "'", '"', "\\u0000", "\U0001f600", "[]"]
    await journal.append([make_row(seq, key=key) for seq, key in enumerate(keys, 1)])
    found = await journal.find_all("alice", [*keys, "\x00b"])
    assert {key: row.seq for key, row in found.items()} == {
        key: seq for seq, key in enumerate(keys, 1)
    }
    for seq, key in enumerate(keys, 1):
        row = await journal.find("alice", key)
        assert row is not None
        assert row.seq == seq


async def test_users_are_listed_in_the_order_of_their_bytes(journal: Journal) -> None:
    names = ["b", "a", "", "ab", "é", "\U0001f600", "\uffff", "A", 'a"b', "b"]
    for start in range(0, len(names), 3):
        lump = names[start : start + 3]
        await journal.append([make_row(start + n, name) for n, name in enumerate(lump, 1)])
    ordered = sorted({*names} - {""}, key=str.encode)
    assert await journal.users("", 100) == ordered
    assert await journal.users("a", 2) == ordered[2:4]
    assert await journal.users("", 100, "a") == ["a", 'a"b', "ab"]
    assert await journal.users("a", 100, "a") == ['a"b', "ab"]
    assert await journal.users("zzz", 100, "a") == []


async def test_a_filter_is_given_all_keys_and_few_others(
    journal: Journal, random_: random.Random
) -> None:
    rows = make_rows(random_, 1, 12_000)
    await journal.append(rows)

    keys = await loaded(journal)

    assert not any(keys.surely_new(row.user, row.key) for row in rows if row.key is not None)
    unused = [f"unused-{number}" for number in range(5_000)]
    assert sum(keys.surely_new("user-1", key) for key in unused) > 4_900


async def test_user_ids_are_compared_byte_by_byte(journal: Journal) -> None:
    users = ["alice", "Alice", "alice ", "\u00e9", "e\u0301", "1", "01", "1.0"]
    rows = [make_row(seq, user, key="k") for seq, user in enumerate(users, 1)]

    await journal.append(rows)

    assert [await journal.history(user, 0, ALL) for user in users] == [[row] for row in rows]
    assert [await journal.find(user, "k") for user in users] == rows


async def test_a_key_belongs_to_one_user(journal: Journal) -> None:
    rows = [make_row(1, "alice", key="k"), make_row(2, "bob", key="k")]

    await journal.append(rows)

    assert await journal.find("alice", "k") == rows[0]
    assert await journal.find("bob", "k") == rows[1]


async def test_a_position_is_never_given_to_two_rows(journal: Journal) -> None:
    await journal.append([make_row(1)])

    with pytest.raises(NotStored):
        await journal.append([make_row(1, "bob")])

    assert await journal.rows(0, ALL) == [make_row(1)]


async def test_after_a_failed_append_its_positions_can_be_given_again(journal: Journal) -> None:
    await journal.append([make_row(1, key="k")])
    with pytest.raises(NotStored):
        await journal.append([make_row(2, "bob"), make_row(2, key="k")])

    await journal.append([make_row(2, "carol"), make_row(3, key="other")])

    assert [row.user for row in await journal.rows(0, ALL)] == ["alice", "carol", "alice"]
    assert await journal.find("alice", "other") == make_row(3, key="other")


async def test_the_published_position_is_kept(journal: Journal) -> None:
    await journal.mark_published(17)
    assert await journal.published() == 17

    await journal.mark_published(18)
    assert await journal.published() == 18


async def test_a_read_during_an_append_sees_its_block_whole_or_not_at_all(
    journal: Journal, random_: random.Random
) -> None:
    rows = make_rows(random_, 1, 5_000)

    async def read() -> None:
        found = await journal.rows(0, ALL)
        assert found == rows[: len(found)]
        assert len(found) % 100 == 0
        user = rows[0].user
        history = await journal.history(user, 0, ALL)
        assert history in [of_user(rows[:end], user) for end in range(0, 5_001, 100)]

    for start in range(0, len(rows), 100):
        await asyncio.gather(journal.append(rows[start : start + 100]), read(), read())
        assert await journal.last_seq() == start + 100


async def test_personal_fields_of_one_user_are_erased_and_nothing_else(
    journal: Journal, random_: random.Random
) -> None:
    rows = make_rows(random_, 1, 1_400)
    for start in range(0, len(rows), 200):
        await journal.append(rows[start : start + 200])
    keys = [row.key for row in of_user(rows, "user-3") if row.key is not None]
    theirs = of_user(rows, "user-3", lambda row: row.personal is not None)

    assert await journal.erase("user-3") == len(theirs)

    after = [row._replace(personal=ERASED) if row in theirs else row for row in rows]
    assert await journal.rows(0, ALL) == after
    assert await journal.history("user-3", 0, ALL) == of_user(after, "user-3")
    found = await journal.find_all("user-3", keys)
    assert found == {row.key: row for row in of_user(after, "user-3") if row.key is not None}


async def test_what_was_erased_is_not_erased_again(journal: Journal) -> None:
    await journal.append([make_row(1, personal='{"ip_address":"::1"}'), make_row(2)])
    assert await journal.erase("alice") == 1
    assert await journal.erase("alice") == 0
    assert await journal.erase("bob") == 0


async def test_rows_go_on_to_be_appended_after_personal_fields_were_erased(
    journal: Journal,
) -> None:
    await journal.append([make_row(1, personal='{"ip_address":"::1"}')])
    await journal.erase("alice")
    new = make_row(2, personal='{"ip_address":"::2"}')
    await journal.append([new])
    assert (await journal.rows(0, ALL))[1:] == [new]
