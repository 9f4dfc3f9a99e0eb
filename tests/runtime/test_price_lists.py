"""The price lists of others in a catalogue: all of them, once, and what calls cost then."""

from __future__ import annotations

import csv
import json
import random
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors.cli.importer.pricelists import litellm as importer
from actors.cli.importer.pricelists.puts import in_force
from actors.cli.importer.pricelists.rows import PriceList
from actors.cli.importer.pricelists.sending import read_known
from messages.client.client import UsageClient
from messages.units import to_datetime, usd
from persistence.sqlite.data_dir import DATABASE
from tests.support.command_line import run
from tests.support.commanded import DAY, client_of, commanded, served
from tests.support.litellm_charges import drawn, entries_of, list_text
from tests.support.pricing_twin import Row, Usage, price
from tests.support.rig import Rig

SEED = 20261130
CALLS = 400
USERS: tuple[str, ...] = ("alice", "bob", "carol")
SOME = ("openai", "anthropic", "gemini", "mistral", "xai", "deepgram", "exa", "recraft")
"""Providers of models of all kinds."""
LATER = DAY + 60_000_000
SONNET = "claude-sonnet-4-5"
DATED = f"{SONNET}-20250929"
FLASH = "gemini-2.5-flash"
PRO = "gemini-2.5-pro"
LARGE = "mistral-large-latest"
ESTIMATED = "2 estimate"
BY_DEFAULT = "4 provider_default default"


@dataclass(frozen=True)
class Imported:
    """A data directory with a list in it, and what the import said."""

    directory: Path
    report: Any
    events: int


def imported(directory: Path, *arguments: str, code: int = 0, at: int = DAY) -> Imported:
    """Import a list into a service on a directory."""
    before = events(directory)
    with commanded(directory, at=at):
        done = run("prices", "import", *arguments)
    assert done.exit_code == code, done.stderr
    report = json.loads(done.stdout) if done.stdout else None
    return Imported(directory, report, events(directory) - before)


def events(directory: Path) -> int:
    """How many events are stored."""
    return int(asked(directory, "SELECT count(*) FROM log")[0][0]) if directory.exists() else 0


def asked(directory: Path, question: str) -> list[Any]:
    """What SQLite says, without a service."""
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        return db.execute(question).fetchall()


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list of LiteLLM as a file."""
    file = tmp_path_factory.mktemp("list") / "litellm.json"
    file.write_text(list_text())
    return file


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory, listed: Path) -> Imported:
    """The list of LiteLLM in a directory that is not to be changed."""
    return imported(tmp_path_factory.mktemp("priced") / "data", "--file", str(listed))


@pytest.fixture
def data(priced: Imported, tmp_path: Path) -> Path:
    """A copy of the directory with the list of LiteLLM in it."""
    return Path(shutil.copytree(priced.directory, tmp_path / "data"))


def test_both_lists_are_put_whole_one_over_the_other_and_again_without_an_event(
    priced: Imported, data: Path, listed: Path
) -> None:
    for done, arguments in ((priced, ("--file", str(listed))), (None, ())):
        first = done or imported(data, *arguments, at=LATER)
        assert first.report["refused"] == {}
        assert first.report["put"] > 300
        assert first.events == first.report["put"] + len(first.report["providers"])
        again = imported(data, *arguments, at=LATER)
        # No provider of the list is absent either: such a one would be put.
        assert (again.report["put"], again.report["providers"], again.events) == (0, [], 0)
        assert again.report["same"] == first.report["put"] + first.report["same"] > 2_000


@pytest.mark.parametrize("entry", [[], 7, None, "openai"])
def test_of_a_list_with_an_entry_that_is_none_nothing_is_put(tmp_path: Path, entry: Any) -> None:
    file = tmp_path / "list.json"
    good = {"litellm_provider": "groq", "input_cost_per_token": 0.5, "output_cost_per_token": 1}
    file.write_text(json.dumps({"m1": good, "m2": entry, "m3": good}))
    assert imported(tmp_path / "data", "--file", str(file), code=2).events == 0


TABLE: tuple[tuple[str, str, str, str], ...] = (
    ("openai", "gpt-4o", "12.5 exact gpt-4o", "12.5 exact gpt-4o"),
    (
        "openai",
        "gpt-4o-2024-08-06",
        "12.5 undated gpt-4o",
        "12.5 exact gpt-4o-2024-08-06",
    ),
    ("openai", "GPT-4o", "12.5 normalised gpt-4o", "12.5 normalised gpt-4o"),
    ("openai", "openai/gpt-4o", "12.5 normalised gpt-4o", "12.5 normalised gpt-4o"),
    ("openai", " gpt-4o", "12.5 normalised gpt-4o", "12.5 normalised gpt-4o"),
    ("openai", "gpt-4o-2024-12-99", ESTIMATED, ESTIMATED),  # no day
    ("openai", "azure/my-gpt4o-deployment", ESTIMATED, ESTIMATED),  # a name of one's own
    (
        "openai",
        "ft:gpt-4o-2024-08-06:acme::AbC123",
        "18.75 undated ft:gpt-4o",
        "18.75 undated ft:gpt-4o-2024-08-06",
    ),
    ("openai", "gpt-5.2-20251211", "15.75 undated gpt-5.2", "15.75 undated gpt-5.2"),
    (
        "openai",
        "chatgpt-4o-latest",
        "20 exact chatgpt-4o-latest",
        "20 exact chatgpt-4o-latest",
    ),
    ("openai", "gpt-5-2025-08-07", "11.25 alias gpt-5", "11.25 exact gpt-5-2025-08-07"),
    ("anthropic", SONNET, f"18 exact {SONNET}", f"18 exact {SONNET}"),
    ("anthropic", DATED, f"18 alias {SONNET}", f"18 exact {DATED}"),
    ("anthropic", f"anthropic/{SONNET}", f"18 normalised {SONNET}", f"18 normalised {SONNET}"),
    (
        "anthropic",
        f"bedrock/anthropic.{DATED}-v1:0",
        f"18 undated {SONNET}",
        f"18 undated {SONNET}",
    ),
    (
        "anthropic",
        f"us.anthropic.{DATED}-v1:0",
        f"18 undated {SONNET}",
        f"18 undated {SONNET}",
    ),
    (
        "anthropic",
        f"vertex_ai/{SONNET}@20250929",
        f"18 undated {SONNET}",
        f"18 undated {SONNET}",
    ),
    (
        "anthropic",
        "claude-opus-4-1-20250805",
        "90 undated claude-opus-4-1",
        "90 undated claude-opus-4-1",
    ),
    (
        "anthropic",
        "claude-opus-5-5-20260901",
        "24 undated claude-opus-5-5",
        "24 undated claude-opus-5-5",
    ),
    (
        "anthropic",
        "claude-3-5-sonnet-20241022",
        "18 undated claude-3-5-sonnet",
        "18 undated claude-3-5-sonnet",
    ),
    ("gemini", FLASH, f"2.8 exact {FLASH}", f"2.8 exact {FLASH}"),
    ("gemini", f"models/{FLASH}", f"2.8 normalised {FLASH}", f"2.8 normalised {FLASH}"),
    ("gemini", f"gemini/{FLASH}", f"2.8 normalised {FLASH}", f"2.8 normalised {FLASH}"),
    ("gemini", f"vertex_ai/{PRO}", f"11.25 normalised {PRO}", f"11.25 normalised {PRO}"),
    ("gemini", f"{FLASH}-preview-09-2025", ESTIMATED, ESTIMATED),  # a month stays
    ("gemini", "Gemini-2.5-Pro", f"11.25 normalised {PRO}", f"11.25 normalised {PRO}"),
    ("gemini", f"{FLASH}-001", f"2.8 undated {FLASH}", f"2.8 undated {FLASH}"),
    ("mistral", LARGE, "8 alias mistral-large", f"2 exact {LARGE}"),
    # An alias is an exact name: only a row's own name is compared without case and prefix.
    ("mistral", f"mistral/{LARGE}", BY_DEFAULT, f"2 normalised {LARGE}"),
    ("mistral", "mistral-large-2512", "2 exact mistral-large-2512", "2 exact mistral-large-2512"),
    ("mistral", "Mistral-Large-Latest", BY_DEFAULT, f"2 normalised {LARGE}"),
    (
        "mistral",
        "mistral-medium-2604",
        "9 alias mistral-medium-3-5",
        "9 exact mistral-medium-2604",
    ),
)
"""A model of a provider, what a million tokens in and out cost by the default list and how that
is found, and the same by the list of LiteLLM over it."""


def test_a_model_is_found_by_the_names_that_callers_have_for_it(data: Path, tmp_path: Path) -> None:
    async def found(rig: Rig) -> dict[tuple[str, str], str]:
        client, said = client_of(rig), {}
        for provider, name, *_ in TABLE:
            # A tenth of a million: no tier begins there.
            call = {"provider": provider, "tokens_input": 100_000, "tokens_output": 100_000}
            reply: Any = await client.call("alice", "track", model_used=name, **call)
            by = f"{reply.matched_by or reply.priced} {reply.price_model or ''}".rstrip()
            said[provider, name] = f"{(reply.cost * 10).normalize():f} {by}"
        return said

    for directory, wanted in ((tmp_path / "default", 2), (data, 3)):
        assert served(directory, found, at=LATER) == {row[:2]: row[wanted] for row in TABLE}


def test_charges_come_to_the_same_sum_in_replies_summaries_logs_exports_and_sql(
    listed: Path, tmp_path: Path
) -> None:
    print(f"seed {SEED}")
    chosen = [word for provider in SOME for word in ("--provider", provider)]
    data = imported(tmp_path / "data", "--file", str(listed), *chosen).directory
    sums = served(data, spend, at=LATER)
    assert min(map(len, sums.values())) > 50
    totals = {user: sum(costs, start=Decimal(0)) for user, costs in sums.items()}

    async def told(rig: Rig) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
        client = client_of(rig)
        stats = {user: (await client.stats(user)).total_cost for user in USERS}
        return stats, {user: await logged(client, user) for user in USERS}

    assert served(data, told, at=LATER) == (totals, totals)  # made anew from the log
    nano = asked(data, "SELECT user_id, sum(cost_nano) FROM usage GROUP BY user_id")
    assert {user: usd(cost) for user, cost in nano} == totals
    with commanded(data, at=LATER):
        for what, column in (("usage", "cost"), ("invoice", "amount")):
            file = tmp_path / f"{what}.csv"
            done = run("export", what, "--all", "--output", str(file))
            assert done.exit_code == 0, done.stderr
            exported = dict.fromkeys(USERS, Decimal(0))
            for row in csv.DictReader(file.read_text().splitlines()):
                exported[row["user"]] += Decimal(row[column])
            assert exported == totals, what


async def logged(client: UsageClient, user: str) -> Decimal:
    """What the log of a user comes to."""
    total, cursor = Decimal(0), None
    while True:
        page = await client.logs(user, limit=50, cursor=cursor)
        total += sum((entry.cost for entry in page.logs), start=Decimal(0))
        cursor = page.next_cursor
        if cursor is None:
            return total


async def spend(rig: Rig) -> dict[str, list[Decimal]]:
    """Calls of every field; each reply is exact, and all of them are returned by user."""
    client, rng = client_of(rig), random.Random(SEED)
    await client.request_catalog("prices.put", FINE)
    known, _ = await read_known(client.request_catalog)
    rows: dict[str, list[Row]] = defaultdict(list)
    for (provider, model, variant), versions in known.items():
        held = in_force(versions, to_datetime(rig.clock.now()))
        if held is not None:
            row = {"provider": provider, "model": model, "variant": variant, **held.fields}
            rows[provider].append(row)
    sums: dict[str, list[Decimal]] = defaultdict(list)
    seen: Counter[str] = Counter()
    for usage in usages(rng, {(provider, model) for provider, model, _ in known}):
        user, body = rng.choice(USERS), body_of(rng, usage)
        reply: Any = await client.call(user, "track", **body)
        sums[user].append(reply.cost)
        seen.update(list(body))
        if "cost" in body:
            assert (reply.cost, reply.priced) == (body["cost"], "caller")
            continue
        wanted = price(rows[usage.provider], replace(usage, status_code=body.get("status_code")))
        assert wanted is not None
        assert reply.cost == usd(wanted.nano), body
        assert (reply.tier, frozenset(reply.unpriced)) == (wanted.tier, wanted.unpriced), body
        seen["tier"] += wanted.tier is not None
        seen["rounded"] += wanted.exact != Decimal(wanted.nano).scaleb(-9)
    print(seen)
    assert not {*EVERY} - {*+seen}
    return sums


EVERY = (
    *("price_variant", "price_factors", "token_parts", "units", "token_counting", "image_count"),
    *("tokens_cache_read", "tokens_cache_write", "tokens_reasoning", "status_code", "cost"),
    *("tier", "rounded"),
)
FINE = {
    "provider": "openai",
    "model": "fine",
    "cost_per_input_token": Decimal("0.000000333333"),
    "cost_per_output_token": Decimal("0.0000000005"),
    "cost_per_image": Decimal("0.000000000001"),
    "tiers": [{"above_input_tokens": 99_999, "cost_per_input_token": Decimal("0.0000000035")}],
    "token_parts": {"input_audio": Decimal("0.000000000777")},
    "units": {"seconds": {"usd": Decimal("0.017"), "per": 60}},
    "multipliers": {"us": Decimal("1.1001"), "eu": Decimal("0.3333"), "fedramp": Decimal("1.05")},
}
"""A row whose charges are hardly ever whole nano-USD, and often half ones."""


def usages(rng: random.Random, known: set[tuple[str, str]]) -> Iterator[Usage]:
    """Calls of all kinds of models, a third of them of one with fine prices."""
    places = importer._places(importer._entries(list_text(), PriceList()), PriceList())
    entries = entries_of(list_text())
    models = [
        (*place, name) for place, name in places.items() if place[0] in SOME and place in known
    ]
    openai = [one for one in models if one[2] in ("gpt-5", "gpt-audio", "gpt-image-1")]
    for number in range(CALLS):
        if number % 3:
            provider, model, name = rng.choice(models)
            yield drawn(rng, provider, model, name, entries[name]).usage
        else:
            provider, model, name = rng.choice(openai)
            usage = drawn(rng, provider, model, name, entries[name]).usage
            seconds = Decimal(rng.randrange(100_000)) / 1_000
            units = {"seconds": seconds, **usage.units}
            yield replace(usage, model="fine", units=units)


def body_of(rng: random.Random, usage: Usage) -> dict[str, Any]:
    """The fields of `track`, without those that say nothing."""
    said = {name: getattr(usage, name) for name in usage.__dataclass_fields__}
    said["model_used"] = said.pop("model")
    said["price_factors"] = sorted(usage.price_factors)
    said["units"] = {name: amount for name, amount in usage.units.items() if amount}
    cached = usage.tokens_cache_read + usage.tokens_cache_write
    del said["token_counting"]
    if cached and rng.random() < 0.3:
        said |= {"tokens_input": usage.tokens_input - cached, "token_counting": "exclusive"}
    if rng.random() < 0.1:
        said["status_code"] = 500
    if rng.random() < 0.1:
        said["cost"] = Decimal(rng.randrange(1, 10**10)).scaleb(-9)
    counts = ("search_count", "image_count", "page_count")
    return {
        name: value
        for name, value in said.items()
        if (value is not None if name in counts else value)
    }
