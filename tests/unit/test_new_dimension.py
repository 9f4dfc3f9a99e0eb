"""A new price dimension is a row of the table and a line in each typed form: shown with toys."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors.billing.catalog.defaults import default_catalog
from actors.billing.catalog.price_changes import content_of
from messages.prices import PricesPut
from tests.support.sources import ROOT

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
        "    above_input_tokens: Tokens\n",
        "    cost_per_%_token: Raw = ABSENT\n",
    ),
    (
        "messages/prices.py",
        "    above_input_tokens: int\n",
        "    cost_per_%_token: Decimal | None\n",
    ),
    (
        "actors/billing/catalog/default_list.py",
        "    above_input_tokens: int\n",
        "    cost_per_%_token: Decimal | None = None\n",
    ),
    (
        "actors/billing/catalog/default_list.py",
        "    cost_per_page: Decimal | None = None\n",
        "    cost_per_%_token: Decimal | None = None\n",
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
    "cost_per_cached_toy_token": 3e-6, "cost_per_page": 1e-6,
    "tiers": [{"above_input_tokens": 1_000, "cost_per_toy_token": 7e-6}],
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
        columns = [one[0] for one in db.execute("SELECT * FROM usage").description]
    json.dump({
        "price": put.body["price"], "listed": listed.body["prices"][-1],
        "first": first.body, "again": again.body, "other": other.code, "same": same.body,
        "over": [refused.error for refused in over],
        "logs": logs.body["logs"], "bodies": [row.body for row in rows if row.kind == "usage"],
        "view": view, "columns": columns,
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
    assert (len(FORMS), len({name for name, _, _ in FORMS})) == (16, 10)  # beside the table
    # In USD of one millionth: 60 of the input, 10 read from the cache, 20 and 10 toys.
    cost = Decimal("0.000240")
    assert cost == Decimal("0.000001") * (60 * 2 + 10 * 1 + 20 * 3 + 10 * 5)
    assert found["first"]["cost_input"] == cost
    # With a page, which such a call has unless it says otherwise: toys are tokens and no units.
    assert found["first"]["cost"] == cost + Decimal("0.000001")
    assert found["price"] == found["listed"]
    assert found["price"]["cost_per_toy_token"] == Decimal("0.000005")
    assert found["price"]["cost_per_search"] is None
    (tier,) = found["price"]["tiers"]
    assert tier["cost_per_toy_token"] == Decimal("0.000007")
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
    assert found["columns"][-2:] == ["tokens_toy", "tokens_cached_toy"]


def test_the_command_line_has_an_option_for_a_new_dimension(copy: Path) -> None:
    assert all(
        "--tokens-cached-toy" in python(copy, "-m", "actors", verb, "--help")
        for verb in ("track", "enforce", "hold", "estimate")
    )


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
