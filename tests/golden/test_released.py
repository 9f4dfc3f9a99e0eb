"""A database of every schema that was ever released goes on, and says what it always said."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from actors.audit.verify import Verifier
from messages.codec import decode_event
from messages.stored.events import CountersReset, PeriodSealed, UsageRecorded
from messages.stored.form import FORM
from messages.subjects import PREFIX
from persistence.errors import Refused
from persistence.sqlite import schema
from persistence.sqlite.checked import COLUMNS
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from tests.golden.released import DATABASES, SETTINGS, USERS, ask, read_all
from tests.support.rig import Rig

RELEASED: Final = sorted(int(path.stem) for path in DATABASES.glob("*.json"))
SINCE: Final[dict[str, list[str]]] = {"clipped": []}
"""What replies to ``track`` have had since."""
LOGGED_SINCE: Final[dict[str, Any]] = {"key": None, "tags": None, "units": {}}
"""What entries of ``logs`` have had since, beside the outcome, and open holds too."""
PRICING_SINCE: Final = frozenset(
    {
        *("price_model", "matched_by", "variant_priced", "tier", "unpriced", "priced"),
        *("token_parts", "token_counting", "price_variant", "price_factors"),
        *("variant", "tiers", "units", "multipliers", "aliases"),
    }
)
"""What replies about prices have had since; `tests/runtime/test_prices.py` says what they are."""
CRASHES: Final = 12
"""Places within a migration at which the process ends."""

pytestmark = pytest.mark.parametrize("number", RELEASED)


@cache
def frozen(number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATABASES / f"{number}.json").read_text("utf-8"))
    return found


@pytest.fixture
def released(number: int, tmp_path: Path) -> Path:
    """A directory with the database as it was left."""
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript("".join(frozen(number)["database"]))
    return directory


@asynccontextmanager
async def serving(directory: Path, at: int) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:  # a thread that is left would keep the tests from ending
        journal = await SQLiteJournal.open(directory, FORM)
        stack.push_async_callback(journal.close)
        rig = await Rig.start(journal, at=at, **SETTINGS)  # type: ignore[arg-type]
        stack.push_async_callback(rig.stop)
        yield rig


def content(directory: Path) -> list[list[Any]]:
    """All that is no schema."""
    queries = (
        f"SELECT {COLUMNS}, chain FROM log ORDER BY seq",
        "SELECT partition, user_id, seq, schema, body FROM snapshots ORDER BY user_id",
        "SELECT name, seq FROM position WHERE name <> 'unchecked'",
    )
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        return [db.execute(query).fetchall() for query in queries]


async def test_every_reply_is_the_one_that_the_releasing_version_gave(
    number: int, released: Path
) -> None:
    told = frozen(number)
    async with serving(released, told["at"]) as rig:
        found = [json.loads(json.dumps(asked)) for asked in await read_all(rig)]
        await rig.idle()
        guesses = estimates(released)
    assert {asked[1] for asked in found} == {"", *USERS}
    for asked, (*request, answer) in zip(found, told["answers"], strict=True):
        if asked[0] == "logs":  # a cursor is opaque: a page may look further for the next match
            del asked[-1]["next_cursor"]
            answer = {name: value for name, value in answer.items() if name != "next_cursor"}  # noqa: PLW2901
        if "error" in answer:  # since then errors say what time it is
            del asked[-1]["error"]["now"]
        as_now = [*request, _as_of_now(answer, guesses.get(asked[1], {}))]
        assert _as_then(asked, as_now) == as_now
    assert any(any(one) for of_user in guesses.values() for one in of_user.values())


def _as_then(found: Any, told: Any) -> Any:
    """What is found without what such answers have had since about prices."""
    if isinstance(found, dict) and isinstance(told, dict):
        if "prices" in found and "prices" in told:  # the default list has more rows since
            known = {(row["model"], row["version"]) for row in told["prices"]}
            same = [r for r in found["prices"] if (r["model"], r["version"]) in known]
            found = {**found, "prices": [row for row in same if not row["variant"]]}
        return {
            name: _as_then(value, told.get(name))
            for name, value in found.items()
            if name in told or name not in PRICING_SINCE
        }
    if isinstance(found, list) and isinstance(told, list) and len(found) == len(told):
        return [_as_then(*pair) for pair in zip(found, told, strict=True)]
    return found


def estimates(directory: Path) -> dict[str, dict[str, list[int]]]:
    """Calls, tokens and nano-USD of the estimate since the last reset, by user and period.

    Of periods that were sealed their totals tell, which did not have these when they were stored.
    """
    found: dict[str, dict[str, list[int]]] = {}
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        rows = db.execute("SELECT user_id, kind, body FROM log WHERE user_id <> '' ORDER BY seq")
        for user, kind, body in rows:
            event = decode_event(kind, body)
            of_user = found.setdefault(user, {})
            if isinstance(event, UsageRecorded) and event.priced == "estimate":
                sums = of_user.setdefault(event.billing_period, [0, 0, 0])
                more = (1, event.tokens_input + event.tokens_output, event.cost_nano)
                sums[:] = [one + other for one, other in zip(sums, more, strict=True)]
            elif isinstance(event, CountersReset):
                of_user.pop(event.billing_period, None)
            elif isinstance(event, PeriodSealed) and event.totals.tally is None:
                of_user.pop(event.totals.key, None)
    return found


def _as_of_now(answer: dict[str, Any], guesses: dict[str, list[int]]) -> dict[str, Any]:
    """An answer of the releasing version with what such answers have had since."""
    if "model_breakdown" in answer:
        calls, tokens, cost = guesses.get(answer["billing_period"], (0, 0, 0))
        parts = {
            name: {one: used | {"units": {}} for one, used in answer[name].items()}
            for name in answer
            if name.endswith("_breakdown")
        }
        estimated = {"calls": calls, "tokens": tokens, "cost": cost / 1e9}
        return answer | parts | {"units": {}, "estimated": estimated, "unpriced_calls": 0}
    if "provider_trends" in answer:
        return answer | {"unit_trends": {}}
    if "projections" in answer:
        parts = {name: _as_of_now(answer[name], guesses) for name in ("stats", "trends")}
        return answer | parts
    if "logs" in answer:
        return answer | {"logs": [one | _since(one) for one in answer["logs"]]}
    if "holds" in answer:
        return answer | {"holds": [one | LOGGED_SINCE for one in answer["holds"]]}
    return answer


def _since(entry: dict[str, Any]) -> dict[str, Any]:
    return LOGGED_SINCE | {"outcome": "failed" if entry["status_code"] >= 400 else "ok"}


async def test_every_change_that_was_acknowledged_is_a_duplicate_with_its_old_reply(
    number: int, released: Path
) -> None:
    told = frozen(number)
    repeated, priced = set(), set()
    async with serving(released, told["at"]) as rig:
        for verb, user, body, reply in told["changes"]:
            if reply.get("allowed") is False or reply.get("reset") is False:
                continue  # a refusal does not use up the key
            again = await ask(rig, verb, user, body)
            if verb == "batch":
                accepted = [one for one in reply["results"] if "error" not in one]
                found = [one for one in again["results"] if "error" not in one]
                assert (again["accepted"], again["duplicates"]) == (0, len(accepted))
                as_then = [one | SINCE | {"duplicate": True} for one in accepted]
                assert _as_then(found, as_then) == as_then
            else:
                since = SINCE if verb == "track" else {}
                as_then = reply | since | {"duplicate": True}
                assert _as_then(again, as_then) == as_then, (verb, user, body)
            repeated.add(verb)
            if verb == "track":
                priced.add(reply["priced"])
                other = await ask(rig, verb, user, body | {"retry_count": 77})
                assert other["error"]["code"] == "idempotency_mismatch"
    assert repeated >= {"track", "batch", "hold", "extend", "release", "preflight", "reset"}
    assert repeated >= {"subscribe", "cancel", "suspend", "resume", "ack"}
    assert repeated >= {"plans.put", "prices.put"}
    assert priced == {"catalog", "provider_default", "estimate", "caller"}


async def test_its_log_snapshots_and_closed_periods_are_verified_once_the_service_has_started(
    number: int, released: Path
) -> None:
    if number < len(schema.migrations()):
        with pytest.raises(Refused, match="start the service once"):
            Inspection.open(released)
    await (await SQLiteJournal.open(released, FORM)).close()
    found: list[Any] = []
    with Inspection.open(released) as log:
        report = Verifier(log, found.append, lambda _: None, None).run()
    assert found == []
    assert report.users == report.snapshots == len(USERS)
    assert report.closed > len(USERS)


async def test_its_old_calls_move_into_a_file_and_are_verified_with_it_and_without(
    number: int, released: Path
) -> None:
    async with serving(released, frozen(number)["at"]) as rig:
        before = await read_all(rig)
        message = SimpleNamespace(subject=f"{PREFIX}.ctl.archive.2026-02-15", reply="archived")
        await rig.link.heard[f"{PREFIX}.ctl.archive.*"](message)
        moved = (await rig.answer("archived")).body["rows"]
        assert moved > 50
        assert await read_all(rig) == before

    (file,) = (released / "archive").iterdir()
    for gone in ({}, {file.name: moved}):
        if gone:
            file.unlink()
        found: list[Any] = []
        with Inspection.open(released) as log:
            report = Verifier(log, found.append, lambda _: None, None).run()
        assert (found, report.gone, report.users) == ([], gone, len(USERS))


async def test_a_crash_at_any_point_of_the_migration_loses_nothing_and_it_is_done_again(
    number: int, released: Path, tmp_path: Path
) -> None:
    before, steps = content(released), 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps in wanted:  # what a process that is killed now leaves behind
            shutil.copytree(released, tmp_path / f"crash{steps}")

    def migrate() -> None:
        with closing(sqlite3.connect(released / DATABASE, isolation_level=None)) as db:
            db.set_progress_handler(step, 1)
            schema.migrate(db, schema.check(db, released / DATABASE))

    wanted: set[int] = set()
    kept = tmp_path / "kept"
    shutil.copytree(released, kept)
    migrate()
    # Of the schema of today there is nothing to migrate.
    wanted = {steps * n // CRASHES for n in range(1, CRASHES + 1)} if steps else set()
    assert bool(wanted) is (number < len(schema.migrations()))
    shutil.rmtree(released)
    kept.rename(released)
    steps = 0
    migrate()
    crashed = [tmp_path / f"crash{step}" for step in wanted]
    for directory in (*crashed, released):
        assert content(directory) == before
        await (await SQLiteJournal.open(directory, FORM)).close()
        assert content(directory) == before
        with closing(sqlite3.connect(directory / DATABASE)) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (len(schema.migrations()),)
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_the_view_shows_what_that_of_the_last_migration_with_one_showed(
    number: int, released: Path
) -> None:
    await (await SQLiteJournal.open(released, FORM)).close()
    last = dict(schema.migrations())[7]
    former = last[last.index("CREATE VIEW usage") :].replace("VIEW usage", "VIEW temp.former", 1)
    with closing(sqlite3.connect(released / DATABASE)) as db:
        db.executescript(former)
        names = [column[0] for column in db.execute("SELECT * FROM former").description]
        columns = ", ".join(names)  # newer ones are behind them
        shown = [
            db.execute(f"SELECT {columns} FROM {view} ORDER BY seq") for view in ("former", "usage")
        ]
        found = [rows.fetchall() for rows in shown]
        assert [c[0] for c in db.execute("SELECT * FROM usage").description][: len(names)] == names
    assert found[0] == found[1]
    assert len(found[0]) > 100
