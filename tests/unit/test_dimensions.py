"""One table of price dimensions: every form agrees with it, and a new one needs little more."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from msgspec import Raw, Struct
from msgspec.structs import FieldInfo

from actors.billing.catalog.defaults import default_catalog
from actors.billing.catalog.price_changes import content_of
from actors.billing.idempotency import original
from actors.cli.commands import track
from actors.cli.importer.values import CONVERTERS
from messages.admission import Enforce
from messages.client.fields import CountFields, TrackFields
from messages.dimensions import COUNT_FIELDS, COUNTED, DIMENSIONS, Dimension
from messages.errors import RequestError
from messages.prices import (
    EstimateCost,
    PriceEntry,
    PricesPut,
)
from messages.reports import LogEntry
from messages.scalars import ABSENT, Count, Tokens
from messages.stored.catalog import PricePut
from messages.stored.events import (
    UsageRecorded,
)
from messages.stored.names import USAGE_NAMES
from messages.stored.view import USAGE
from messages.usage import COUNTS, Track
from tests.support.meter import Meter, a_track, plan
from tests.support.sources import ROOT

NO_COUNTS = {"retry_count", "tokens_used"}
"""Fields of calls that are named as counts are, and have no price."""
_REQUIRED = msgspec.NODEFAULT


def fields_of(form: type[Struct]) -> dict[str, FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(form)}


def counts_of(form: type[Struct]) -> list[str]:
    """The counts of a form by their names, in order."""
    named = [name for name in fields_of(form) if name[:7] == "tokens_" or name[-6:] == "_count"]
    return [name for name in named if name not in NO_COUNTS]


def test_the_table_has_each_name_once_and_every_part_behind_its_whole() -> None:
    for names in (
        [dimension.price for dimension in DIMENSIONS],
        COUNT_FIELDS,
        [*USAGE_NAMES.values()],
    ):
        assert len(set(names)) == len(names)
        assert all(names)
    for place, dimension in enumerate(COUNTED):
        assert dimension.kind in {Tokens, Count}
        assert not dimension.part_of or dimension.part_of in COUNT_FIELDS[:place]
    assert [dimension.field for dimension in COUNTED if dimension.is_whole] == [*COUNT_FIELDS[:2]]


@pytest.mark.parametrize("form", [Track, UsageRecorded, LogEntry])
def test_a_call_has_the_counts_of_the_table_in_its_order(form: type[Struct]) -> None:
    assert counts_of(form) == [*COUNT_FIELDS]
    names = form.__struct_fields__
    first = names.index(COUNT_FIELDS[0])
    assert names[first : first + len(COUNTED)] == COUNT_FIELDS


@pytest.mark.parametrize("counted", COUNTED, ids=lambda counted: counted.field)
def test_a_count_is_of_the_type_of_the_table_wherever_it_is_typed(counted: Dimension) -> None:
    name, whole = counted.field, counted.is_whole
    asked, stored, logged = (fields_of(form)[name] for form in (Track, UsageRecorded, LogEntry))
    assert (asked.type, asked.default) == (counted.kind | None, None)
    assert (stored.type, stored.default) == ((int, 0) if whole else (int | None, None))
    assert (logged.type, logged.default) == (int if whole else int | None, _REQUIRED)
    assert get_type_hints(TrackFields)[name] == int | None
    for form in (EstimateCost, Enforce):
        assert fields_of(form)[name].type == counted.kind | None


def test_nothing_else_is_named_as_a_count() -> None:
    assert [*get_type_hints(CountFields)] == [*COUNT_FIELDS]
    for form in (EstimateCost, Enforce):
        assert [name for name in counts_of(form) if name != "tokens_requested"] == [*COUNT_FIELDS]
    assert [name for name in inspect.signature(track).parameters if name in COUNT_FIELDS] == [
        *COUNT_FIELDS
    ]
    assert {name for name in CONVERTERS if name in COUNT_FIELDS} == {*COUNT_FIELDS}
    columns = [column.name for column in USAGE.columns]
    assert [name for name in columns if name in COUNT_FIELDS] == [*COUNT_FIELDS]


@pytest.mark.parametrize(
    ("form", "kind", "default", "prefix"),
    [
        (PricesPut, Raw, ABSENT, "cost_per_"),
        (PriceEntry, Decimal | None, _REQUIRED, "cost_per_"),
        (PricePut, int | None, None, ""),
    ],
)
def test_a_price_has_the_amounts_of_the_table_in_its_order(
    form: type[Struct], kind: Any, default: Any, prefix: str
) -> None:
    fields = fields_of(form)
    wanted = [f"{prefix}{dimension.price}" for dimension in DIMENSIONS]
    beside = {*form.__struct_fields__} - {*wanted}
    assert [name for name in fields if name not in beside] == wanted
    further = {"variant", "tiers", "token_parts", "parts", "units", "multipliers", "aliases"}
    assert beside <= {"provider", "model", "version", "effective_from", "content", *further} | {
        *("event_id", "deadline", "alias"),
    }
    assert [fields[name].type for name in wanted] == [kind] * len(wanted)
    assert all(fields[name].default is default for name in wanted)


@pytest.mark.parametrize("counted", COUNTED, ids=lambda counted: counted.field)
def test_the_count_of_a_call_is_stored_and_is_content(counted: Dimension) -> None:
    said: dict[str, Any] = {**dict.fromkeys(COUNT_FIELDS[:2], 500), "event_id": "e"}
    said[counted.field] = 3
    meter = Meter(terms=plan({}))
    meter.track(**said)
    row = meter.log[-1]
    assert getattr(row.event, counted.field) == 3
    assert msgspec.json.decode(row.body)[counted.short] == 3
    other: dict[str, Any] = {**said, counted.field: 4}
    call = a_track(**other)
    with pytest.raises(RequestError, match="used before"):
        original(call, row.event, None, "e", row.seq, row.at, meter.catalog)


def test_the_counts_of_a_call_are_a_slice_of_it_in_order() -> None:
    said: dict[str, Any] = {field: place for place, field in enumerate(COUNT_FIELDS)}
    assert msgspec.structs.astuple(a_track(**said))[COUNTS] == (*range(len(COUNTED)),)


# A toy dimension: two rows of the table, of which one is a part of a part.
ROWS = """\
    Dimension("toy_token", "tokens_toy", "ty", part_of="tokens_input"),
    Dimension("cached_toy_token", "tokens_cached_toy", "ct", part_of="tokens_cache_read"),
"""
# Beside the table: in each form whose fields are typed, and in the call that makes the stored one.
# File, what stands before, and what follows of each, with its name in the place of %.
FORMS = (
    (
        "messages/usage.py",
        "    page_count: Count | None = None\n",
        "    tokens_%: Tokens | None = None\n",
    ),
    (
        "messages/admission.py",
        "    page_count: Count | None = None\n",
        "    tokens_%: Tokens | None = None\n",
    ),
    (
        "messages/prices.py",
        "    page_count: Count | None = None\n",
        "    tokens_%: Tokens | None = None\n",
    ),
    (
        "messages/client/fields.py",
        "    page_count: int | None\n",
        "    tokens_%: int | None\n",
    ),
    (
        "messages/reports.py",
        "    page_count: int | None\n",
        "    tokens_%: int | None\n",
    ),
    (
        "messages/stored/events.py",
        "    page_count: int | None = None\n",
        "    tokens_%: int | None = None\n",
    ),
    (
        "messages/stored/catalog.py",
        "    page: int | None = None\n",
        "    %_token: int | None = None\n",
    ),
    (
        "messages/prices.py",
        "    cost_per_page: Raw = ABSENT\n",
        "    cost_per_%_token: Raw = ABSENT\n",
    ),
    (
        "messages/prices.py",
        "    cost_per_page: Decimal | None\n",
        "    cost_per_%_token: Decimal | None\n",
    ),
    (
        "actors/billing/reports/usage_log.py",
        "        page_count=event.page_count,\n",
        "        tokens_%=event.tokens_%,\n",
    ),
    ("actors/billing/usage/track.py", "images, pages", ", %"),
    ("actors/billing/usage/track.py", "        pages,\n", "        %,\n"),
)
SCRIPT = """
import asyncio
import json
import sqlite3
import sys
from pathlib import Path

from actors.billing.catalog.price_changes import content_of
from actors.billing.catalog.defaults import default_catalog
from actors.settings.logging import configure_logging
from messages.codec import decode_event
from messages.stored.form import FORM
from messages.usage import Track
from messages.prices import (
    PricesPut,
)
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rig import Rig

PRICE = {
    "provider": "openai", "model": "m", "event_id": "p", "cost_per_input_token": 2e-6,
    "cost_per_cache_read_token": 1e-6, "cost_per_toy_token": 5e-6,
    "cost_per_cached_toy_token": 3e-6,
}
CALL = {
    "provider": "openai", "model_used": "m", "event_id": "k", "tokens_input": 100,
    "tokens_cache_read": 30, "tokens_toy": 10, "tokens_cached_toy": 20,
}


async def main():
    configure_logging("error")  # on stderr: stdout is for what is found
    rig = await Rig.start()
    put = await rig.catalog("prices.put", **PRICE)
    listed = await rig.catalog("prices.list", provider="openai", model="m")
    first = await rig.ask("track", **CALL)
    again = await rig.ask("track", **CALL)
    other = await rig.ask("track", **CALL | {"tokens_toy": 11})
    without = await rig.ask("track", provider="openai", model_used="m", event_id="w")
    zero = {"provider": "openai", "model_used": "m", "event_id": "w", "tokens_toy": 0}
    same = await rig.ask("track", **zero)
    over = [
        await rig.ask("track", **CALL | {"event_id": f"o{n}"} | more)
        for n, more in enumerate(({"tokens_toy": 71}, {"tokens_cached_toy": 31}))
    ]
    logs = await rig.ask("logs")
    await rig.idle()
    rows = await rig.inner.rows(0, 1_000)
    await rig.stop()
    journal = await SQLiteJournal.open(Path("."), FORM)
    await journal.append(rows)
    await journal.close()
    with sqlite3.connect("meterd.db") as db:
        view = db.execute("SELECT tokens_toy, tokens_cached_toy FROM usage ORDER BY seq").fetchall()
    json.dump({
        "price": put.body["price"], "listed": listed.body["prices"][-1],
        "first": first.body, "again": again.body, "other": other.code, "same": same.body,
        "over": [refused.error for refused in over],
        "logs": logs.body["logs"], "bodies": [row.body for row in rows if row.kind == "usage"],
        "view": view,
        "content": content_of(PricesPut(provider="openai", model="m"), default_catalog()),
    }, sys.stdout)


asyncio.run(main())
"""


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def python(directory: Path, *arguments: str) -> str:
    done = run(directory, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources with the toys in the table and the forms."""
    tmp_path = tmp_path_factory.mktemp("copy")
    for room in ("actors", "messages", "persistence", "tests/support"):
        shutil.copytree(
            ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("*.so", "__pycache__")
        )
    table = tmp_path / "messages" / "dimensions.py"
    last = '    Dimension("page", "page_count", "np", Count, absent=1),\n'
    assert last in table.read_text()
    table.write_text(table.read_text().replace(last, last + ROWS))
    for name, before, behind in FORMS:
        text = (tmp_path / name).read_text()
        assert text.count(before) == 1, (name, before)
        added = "".join(behind.replace("%", toy) for toy in ("toy", "cached_toy"))
        (tmp_path / name).write_text(text.replace(before, before + added))
    return tmp_path


@pytest.fixture(scope="module")
def found(copy: Path) -> Any:
    """What a service of these sources says."""
    return json.loads(python(copy, "-c", SCRIPT), parse_float=Decimal)


def test_a_new_dimension_is_a_row_of_the_table_and_a_line_in_each_typed_form(found: Any) -> None:
    assert (len(FORMS), len({name for name, _, _ in FORMS})) == (12, 9)  # beside the table
    # In USD of one millionth: 60 of the input, 10 read from the cache, 20 and 10 toys.
    cost = Decimal("0.000240")
    assert cost == Decimal("0.000001") * (60 * 2 + 10 * 1 + 20 * 3 + 10 * 5)
    assert found["first"]["cost"] == found["first"]["cost_input"] == cost
    assert found["price"] == found["listed"]
    assert found["price"]["cost_per_toy_token"] == Decimal("0.000005")
    assert found["price"]["cost_per_search"] is None
    assert found["again"] == found["first"] | {"duplicate": True}
    assert found["other"] == "idempotency_mismatch"
    assert found["same"]["duplicate"] is True
    assert [refused["field"] for refused in found["over"]] == ["tokens_toy", "tokens_cached_toy"]
    assert found["over"][0]["message"] == (
        "tokens_cache_read, tokens_cache_write and tokens_toy are over tokens_input"
    )
    newest, oldest = found["logs"]
    assert (oldest["tokens_toy"], oldest["tokens_cached_toy"]) == (10, 20)
    assert (newest["tokens_toy"], newest["tokens_cached_toy"]) == (None, None)
    assert [json.loads(body).get("ty") for body in found["bodies"]] == [10, None]
    assert found["view"] == [[10, 20], [None, None]]


def test_the_command_line_has_an_option_for_a_new_dimension(copy: Path) -> None:
    assert "--tokens-cached-toy" in python(copy, "-m", "actors", "track", "--help")


def test_a_key_of_a_price_that_was_used_before_there_was_another_dimension_still_matches(
    found: Any,
) -> None:
    assert found["content"] == content_of(
        PricesPut(provider="openai", model="m"), default_catalog()
    )


def test_a_request_that_lacks_a_dimension_cannot_be_imported(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy / "messages", tmp_path / "messages")
    form = tmp_path / "messages" / "usage.py"
    form.write_text(form.read_text().replace("    tokens_toy: Tokens | None = None\n", ""))
    done = run(tmp_path, "-c", "import messages.usage")
    assert (done.returncode, "tokens_toy" in done.stderr) == (1, True), done.stderr
