"""The verifier behind ``meterd verify``: the same findings however few users it takes at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.audit import verify as verifier
from actors.audit.findings import Finding
from actors.audit.replay import Replay
from actors.audit.verify import LOOKS, Live, Verifier, VerifyReport, ranges
from messages.client.client import decode_stats
from messages.reports import StatsReply
from messages.stored.form import FORM
from messages.subjects import PARTITIONS, encode_user, partition_of
from persistence.errors import JournalError
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.positions import ENDS, put_position
from tests.support.data import edit
from tests.support.meter import NOON
from tests.support.rig import Rig, Start

DAY = 86_400_000_000
USERS = [f"user {n}" for n in range(30)]
ONE_PASS = 1_000_000
NULLABLE = (
    "PRAGMA writable_schema = ON;"
    " UPDATE sqlite_schema SET sql = replace(sql, 'body TEXT NOT NULL', 'body TEXT');"
    " PRAGMA writable_schema = RESET;"
)


async def copy(rig: Rig, journal: SQLiteJournal) -> None:
    """Write what the rig's log has, and the other one lacks, with all snapshots."""
    rows = await rig.inner.rows(await journal.last_seq(), ONE_PASS)
    for start in range(0, len(rows), 20):
        await journal.append(rows[start : start + 20])
    await journal.append([], list(rig.inner._snapshots.values()))


async def use(rig: Rig, *users: str) -> None:
    for user in users:
        await rig.ask("track", user, provider="exa", cost=0.5)


@pytest.fixture
async def rig(start: Start) -> Rig:
    """A service with users who have a closed period, a current one and a snapshot each."""
    rig = await start(snapshot_events=4)
    await rig.catalog("prices.put", provider="exa", model="new", cost_per_search=1)
    await use(rig, *USERS, *USERS)
    await rig.ask("subscribe", USERS[3], plan="pro", billing_cycle="monthly")
    rig.clock.at = NOON + 30 * DAY
    await use(rig, *USERS, *USERS)
    await rig.idle()
    return rig


@pytest.fixture
async def data(rig: Rig, tmp_path: Path) -> Path:
    journal = await SQLiteJournal.open(tmp_path, FORM)
    await copy(rig, journal)
    await journal.close()
    return tmp_path


def verify(
    directory: Path, users_at_once: int, live: Live | None = None
) -> tuple[VerifyReport, list[Finding]]:
    found: list[Finding] = []
    with Inspection.open(directory) as log:
        report = Verifier(log, found.append, lambda _: None, live, users_at_once).run()
    return report, found


def widest() -> int:
    """How many users the fullest partition has."""
    partitions = [partition_of(encode_user(user)) for user in USERS]
    return max(map(partitions.count, partitions))


@given(
    st.dictionaries(st.integers(0, PARTITIONS - 1), st.integers(0, 50)),
    st.integers(1, 200),
)
def test_ranges_have_each_partition_once_and_no_more_users_than_may_be(
    begun: dict[int, int], users_at_once: int
) -> None:
    found = list(ranges(begun, users_at_once))
    assert [partition for part in found for partition in part] == list(range(PARTITIONS))
    held = [sum(begun.get(partition, 0) for partition in part) for part in found]
    assert all(
        users <= users_at_once or len(part) == 1 for users, part in zip(held, found, strict=True)
    )
    assert len(found) <= 1 + 2 * sum(begun.values()) // users_at_once


@pytest.mark.parametrize("users_at_once", [1, 7, ONE_PASS])
def test_the_report_is_the_same_however_few_users_are_taken_at_once(
    data: Path, users_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    class Watched(Replay):
        def take(self, row: Any) -> None:
            super().take(row)
            held.append(len(self.accounts))

    monkeypatch.setattr(verifier, "Replay", Watched)
    report, found = verify(data, users_at_once)
    assert found == []
    assert (report.users, report.snapshots, report.live) == (30, 30, None)
    assert report.closed == 30
    assert report.rows == report.last > 150
    assert max(held) <= max(users_at_once, widest())


def test_progress_goes_up_to_as_many_looks_as_there_are(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "PROGRESS_ROWS", 10)
    seen: list[int] = []
    with Inspection.open(data) as log:
        report = Verifier(log, lambda _: None, seen.append, None, 3).run()
    assert seen == sorted(seen)
    assert seen[-1] == report.rows * LOOKS
    assert len(seen) > 20


DAMAGES: dict[str, tuple[str, set[tuple[str, str, str]]]] = {
    "a call": (
        (
            "UPDATE log SET body = json_set(body, '$.c', 1) WHERE seq ="
            " (SELECT min(seq) FROM log WHERE kind = 'usage' AND user_id = 'user 4')"
        ),
        {("user 4", "2026-03", "providers")},
    ),
    "a closed period": (
        (
            "UPDATE log SET body = json_set(body, '$.closed.errors', 7)"
            " WHERE kind = 'period_rolled' AND user_id = 'user 5' AND body LIKE '%closed%'"
        ),
        {("user 5", "2026-03", "errors")},
    ),
    "a snapshot": (
        "UPDATE snapshots SET body = x'00' WHERE user_id = 'user 6'",
        {("user 6", "", "snapshot")},
    ),
    "a snapshot of nothing": (
        "UPDATE snapshots SET seq = 1000000 WHERE user_id = 'user 7'",
        {("user 7", "", "snapshot")},
    ),
    "a key": (
        "UPDATE log SET event_id = 'k' WHERE kind = 'usage' AND user_id = 'user 8'",
        {("user 8", "", "event_id")},
    ),
    "a body": (
        "UPDATE log SET body = '{' WHERE seq = (SELECT max(seq) FROM log WHERE user_id = 'user 9')",
        {("user 9", "", "log")},
    ),
    "a body that is gone": (
        f"{NULLABLE} UPDATE log SET body = NULL WHERE kind = 'usage' AND user_id = 'user 11'",
        {("user 11", "", "log")},
    ),
    "a body that is no text": (
        (
            "UPDATE log SET body = CAST(body AS BLOB)"
            " WHERE kind = 'period_rolled' AND user_id = 'user 12'"
        ),
        {("user 12", "", "log")},
    ),
    "a moment": (
        (
            "UPDATE log SET at = at + 1000 WHERE seq ="
            " (SELECT min(seq) FROM log WHERE user_id = 'user 10')"
        ),
        {("user 10", "", "at")},
    ),
    "a price": ("UPDATE log SET body = '{' WHERE kind = 'price'", {("", "", "log")}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_named_by_user_period_and_field_however_few_users_are_taken_at_once(
    data: Path, damage: str
) -> None:
    script, expected = DAMAGES[damage]
    edit(data, script)
    _, whole = verify(data, ONE_PASS)
    named = {finding[:3] for finding in whole}
    assert expected <= named
    assert whole
    users = [user for user, _, field, *_ in whole if user and field != "snapshot"]
    assert len(users) == len({*users}), "one for each user, however much differs"
    assert damage != "a call" or any("more differ" in one.why for one in whole)
    # Nobody else is named; the chain says in which rows the damage is.
    assert {user for user, _, _ in named} <= {user for user, _, _ in expected} | {""}
    assert "snapshot" in damage or any(field.startswith("row") for _, _, field in named)
    for users_at_once in (1, 7):
        _, found = verify(data, users_at_once)
        assert sorted(found) == sorted(whole)


@pytest.mark.parametrize(
    "damage",
    ["UPDATE heads SET links = 'no digests'", "UPDATE heads SET links = 7", "DELETE FROM heads"],
)
def test_a_log_whose_own_notes_cannot_be_read_is_looked_at_all_the_same(
    data: Path, damage: str
) -> None:
    edit(data, damage)
    report, found = verify(data, ONE_PASS)
    assert {(one.field, one.file, one.rows) for one in found} == {("heads", "meterd.db", None)}
    assert all(one.do for one in found)
    assert (report.users, report.snapshots, report.closed) == (30, 30, 30)


def test_a_log_without_one_of_its_tables_is_one_clear_error(data: Path) -> None:
    edit(data, "DROP TABLE archives")
    with pytest.raises(JournalError) as caught:
        verify(data, ONE_PASS)
    assert len(str(caught.value).splitlines()) == 1


def test_the_moment_up_to_which_periods_were_closed_is_no_position_of_a_row(data: Path) -> None:
    with closing(sqlite3.connect(data / "meterd.db")) as db:
        put_position(db, ENDS, NOON)
        db.commit()
    report, found = verify(data, ONE_PASS)
    assert (found, report.last) == ([], report.rows)


class Service:
    """A service that is asked: what it says of each user, and who was asked at once."""

    def __init__(self, directory: Path, summaries: dict[str, StatsReply]) -> None:
        self.summaries = summaries
        self.asked: list[list[str]] = []
        self.gone_after = 1_000
        self.live = Live(self.ask, lambda: Inspection.open(directory))

    def ask(self, users: list[str], take: Callable[[dict[str, StatsReply]], None]) -> bool:
        if len(self.asked) >= self.gone_after:
            return False
        self.asked.append(users)
        for user in users:
            take({user: self.summaries[user]})
        return True


async def summaries(rig: Rig) -> dict[str, StatsReply]:
    return {user: decode_stats((await rig.ask("stats", user)).payload) for user in USERS}


@pytest.mark.parametrize("users_at_once", [1, 7, ONE_PASS])
async def test_summaries_are_compared_at_their_own_positions_while_the_log_goes_on(
    rig: Rig, data: Path, users_at_once: int
) -> None:
    found: list[Finding] = []
    journal = await SQLiteJournal.open(data, FORM)
    with Inspection.open(data) as log:  # as of now: what follows is behind it
        await use(rig, *USERS[:20])
        await rig.idle()
        service = Service(data, await summaries(rig))
        await use(rig, *USERS[:10])
        await rig.idle()
        await copy(rig, journal)
        report = Verifier(log, found.append, lambda _: None, service.live, users_at_once).run()
    await journal.close()
    assert (found, report.live) == ([], 30)
    assert sorted(user for users in service.asked for user in users) == sorted(USERS)
    assert max(map(len, service.asked)) <= max(users_at_once, widest())


@pytest.mark.parametrize("users_at_once", [1, ONE_PASS])
async def test_a_summary_that_differs_is_named_and_a_user_without_a_state_is_not_asked(
    rig: Rig, data: Path, users_at_once: int
) -> None:
    service = Service(data, await summaries(rig))
    service.summaries["user 2"].total_calls = 5
    edit(data, DAMAGES["a body"][0])
    report, found = verify(data, users_at_once, service.live)
    assert ("user 2", "2026-04", "total_calls") in {finding[:3] for finding in found}
    assert report.live == 29
    assert "user 9" not in [user for users in service.asked for user in users]


async def test_a_service_that_goes_away_is_not_asked_again(rig: Rig, data: Path) -> None:
    service = Service(data, await summaries(rig))
    service.gone_after = 0
    report, found = verify(data, 1, service.live)
    assert (found, report.live) == ([], None)
    service.gone_after = 2
    report, found = verify(data, 1, service.live)
    assert (found, report.live) == ([], sum(map(len, service.asked)))
    assert len(service.asked) == 2
