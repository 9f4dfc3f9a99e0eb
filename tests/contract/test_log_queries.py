"""The contract of `LogQueries`, held against every implementation."""

from __future__ import annotations

import random

from persistence.journal import Journal, LogQueries
from persistence.key_filter import KeyFilter
from persistence.records import Entry, Loaded, Marked, Row, Snapshot
from tests.support.rows import make_row, make_rows, make_snapshot, of_user

ALL = 1_000_000


def entries_behind(rows: list[Row], user: str, snapshot: Snapshot | None) -> list[Entry]:
    after = 0 if snapshot is None else snapshot.seq
    found = of_user(rows, user, lambda row: row.seq > after)
    return [(row.seq, row.kind, row.at, row.body) for row in found]


async def loaded(journal: LogQueries) -> KeyFilter:
    keys = KeyFilter(20_000)
    await journal.load_keys(keys)
    return keys


async def test_of_an_empty_log_nothing_is_known(journal: LogQueries) -> None:
    assert await journal.snapshot("alice") is None
    assert await journal.find("alice", "k") is None
    assert await journal.find_all("alice", ["k"]) == {}
    nothing = Loaded(None, [])
    assert await journal.load(["alice", "bob"], ALL) == {"alice": nothing, "bob": nothing}
    assert await journal.history("alice", 0, ALL) == []
    assert await journal.newest("alice", ALL, ALL) == []
    assert await journal.newest("alice", ALL, ALL, "reset") == []
    assert await journal.noticed("alice", ALL, ALL) == []
    assert await journal.users("", ALL) == []
    assert await journal.marked("usage", ["m"], 0, 10_000) == Marked([], 0, None)
    assert (await loaded(journal)).surely_new("alice", "k")


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


async def test_queries_agree_with_a_plain_list_of_all_rows(
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


async def test_marked_rows_of_a_stretch_are_those_of_a_kind_whose_body_has_one_of_the_texts(
    journal: Journal, random_: random.Random
) -> None:
    texts = ('"h":"estimate"', '"b":"undated"', "%_", "\\", "ü\U0001f600", "it's")
    rows = [
        row._replace(body=f'{{"n":{row.seq},"x":"{random_.choice((*texts, "", "H", "-"))}"}}')
        for row in make_rows(random_, 1, 400)
    ]
    await journal.append(rows[:300])
    await journal.append(rows[300:])
    for _ in range(20):
        kind = random_.choice(("usage", "hold", "period_rolled", "none"))
        marks = random_.sample(texts, random_.randrange(1, 4))
        after = random_.randrange(400)
        last = random_.randrange(after, 420)
        some = [row for row in rows if after < row.seq <= last]
        wanted = [r for r in some if r.kind == kind and any(mark in r.body for mark in marks)]
        latest = some[-1].at if some else None
        assert await journal.marked(kind, marks, after, last) == Marked(wanted, 0, latest)


async def test_a_row_without_a_body_has_no_mark_and_is_no_row_that_cannot_be_read(
    journal: Journal,
) -> None:
    rows = [make_row(1, body=""), make_row(2, body="m"), make_row(3, body="M")]
    await journal.append(rows)
    assert await journal.marked("usage", ["m"], 0, 3) == Marked(rows[1:2], 0, rows[2].at)
