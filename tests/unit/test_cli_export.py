"""Exports: an invoice comes to what `stats` says, whatever the prices and the rounding."""

from __future__ import annotations

import csv
import io
import json
import random
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.billing.catalog.charging import Used, charge_in_full, with_parts
from actors.billing.catalog.prices import ESTIMATE, price
from actors.billing.catalog.rates import rates_of
from actors.cli import exporting
from actors.cli.exporter.split import ESTIMATED, amounts_of, split
from messages.catalog import (
    UserEntry,
    UsersReply,
)
from messages.dimensions import COUNT_FIELDS, DIMENSIONS
from messages.prices import (
    PriceEntry,
    PricesReply,
)
from messages.reports import LogEntry, LogsReply
from messages.units import usd
from tests.support.answers import NOW, STATS, entry_of
from tests.support.command_line import Serve, run

SEED = 20261129
V1: dict[str, Any] = {
    "variant": "",
    "tiers": (),
    "token_parts": {},
    "units": {},
    "multipliers": {},
    "aliases": (),
}
"""What a price of v1 has of the rest."""


def price_of(
    amounts: dict[str, int | None], model: str = "gpt-4o-mini", hours: int = 0
) -> PriceEntry:
    costs: dict[str, Any] = {
        d.cost_field: None if (pico := amounts.get(d.price)) is None else Decimal(pico).scaleb(-12)
        for d in DIMENSIONS
    }
    start = NOW - timedelta(hours=hours)
    return PriceEntry(
        provider="openai",
        model=model,
        **costs,
        **V1,
        effective_from=start,
        version=1,
    )


def charged(number: int, amounts: dict[str, int | None], chance: random.Random) -> LogEntry:
    """A call with some counts, priced as the service prices it."""
    whole = {"tokens_input": chance.randrange(900), "tokens_output": chance.randrange(900)}
    said: dict[str, int | None] = dict.fromkeys(COUNT_FIELDS) | whole
    said["tokens_cache_read"] = chance.choice([None, whole["tokens_input"] // 2])
    said["tokens_cache_write"] = chance.choice([None, whole["tokens_input"] // 3])
    said["tokens_reasoning"] = chance.choice([None, whole["tokens_output"] // 2])
    for unit in ("search_count", "image_count", "page_count"):
        said[unit] = chance.choice([None, 0, 3])
    counts = tuple(said[field] for field in COUNT_FIELDS)
    cost, *_ = charge_in_full(price("", "", amounts), Used(with_parts(counts, None))).charge
    return msgspec.structs.replace(entry_of(number), **said, cost=usd(cost))


def test_the_parts_of_a_charge_come_to_it_to_the_nano_dollar() -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    rounded = 0
    for number in range(500):
        amounts: dict[str, int | None] = {
            d.price: chance.choice([None, 0, chance.randrange(1, 3 * 10**6)]) for d in DIMENSIONS
        }
        entry = charged(number, amounts, chance)
        parts = split(entry, amounts_of(price_of(amounts)))
        assert parts is not None
        assert usd(sum(part.nano for part in parts)) == entry.cost
        for part in parts:
            exact = part.quantity * (part.pico or 0)
            rounded += part.nano * 1000 != exact
            assert abs(part.nano * 1000 - exact) < 1000
    assert rounded > 100  # else nothing was rounded


def test_a_charge_is_not_split_by_prices_that_it_was_not_made_with() -> None:
    amounts: dict[str, int | None] = {"input_token": 150_000, "output_token": 600_000}
    entry = charged(1, amounts, random.Random(SEED))
    assert split(entry, amounts) is not None
    assert split(entry, {**amounts, "output_token": 600_001_000}) is None


def test_the_prices_of_estimates_are_those_of_the_service() -> None:
    assert rates_of(ESTIMATED) == ESTIMATE.rates


def book() -> list[LogEntry]:
    """Calls of a period, newest first: at two prices of the model, a default, an estimate, own."""
    chance = random.Random(SEED)
    old: dict[str, int | None] = {"input_token": 333, "output_token": 777}
    new: dict[str, int | None] = {"input_token": 334, "output_token": 778}
    found = []
    for number in range(1, 41):
        made = charged(number, old if number <= 20 else new, chance)
        hours = 3 if number <= 20 else 0
        found.append(msgspec.structs.replace(made, timestamp=NOW - timedelta(hours=hours)))
    other = charged(41, {"input_token": 5_555, "output_token": 5, "request": 1}, chance)
    by_default = {"priced": "provider_default", "price_model": "default"}
    found.append(msgspec.structs.replace(other, model_used="other", **by_default))
    guess = charged(42, dict(ESTIMATED), chance)
    found.append(msgspec.structs.replace(guess, model_used="new", priced="estimate"))
    own = msgspec.structs.replace(entry_of(43), cost=Decimal("0.123456789"), priced="caller")
    return [*found, own][::-1]


def answer_book(subject: str, body: dict[str, Any], *, counted: int = 43, extra: int = 0) -> object:
    entries = book()
    if ".prices.list" in subject:
        rows = {
            "gpt-4o-mini": [
                price_of({"input_token": 333, "output_token": 777}, hours=9),
                price_of({"input_token": 334, "output_token": 778}, hours=1),
            ],
            "default": [
                price_of({"input_token": 5_555, "output_token": 5, "request": 1}, "default", 9)
            ],
        }.get(body["model"], [])
        return PricesReply(prices=tuple(rows), next_cursor=None, version=1, seq=1)
    if ".users.list" in subject:
        users = (UserEntry(user_id="alice"), UserEntry(user_id="bob"))
        return UsersReply(users=users, next_cursor=None, seq=1)
    if ".stats." in subject:
        total = sum((entry.cost for entry in entries[:counted]), start=Decimal(0))
        return msgspec.structs.replace(
            STATS, total_calls=counted, total_cost=total + extra, seq=43, billing_period="2026-03"
        )
    later = msgspec.structs.replace(entry_of(44), cost=Decimal(9))  # came after stats was asked
    entries = [later, *entries]
    start = int(body.get("cursor", "0"))
    page = tuple(entries[start : start + body["limit"]])
    end = start + len(page)
    cursor = str(end) if end < len(entries) else None
    return LogsReply(logs=page, next_cursor=cursor, total_count=None, seq=44)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_amounts_of_an_invoice_come_to_the_total_cost_of_stats(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(exporting, "_PAGE", 7)
    serve(answer_book)
    done = run("export", "invoice", "alice", "--period", "2026-03", "--format", kind)
    assert done.exit_code == 0, done.stderr
    if kind == "csv":
        lines = list(csv.DictReader(io.StringIO(done.stdout)))
    else:
        lines = [json.loads(line, parse_float=str) for line in done.stdout.splitlines()]
    money = [line[name] for line in lines for name in ("unit_price", "amount", "rounding")]
    assert not any("e" in text.lower() for text in money if text)  # no exponent in either form
    total = sum((entry.cost for entry in book()), start=Decimal(0))
    assert sum((Decimal(line["amount"]) for line in lines), start=Decimal(0)) == total
    found = {(line["model"], line["priced"], line["unit"]) for line in lines}
    assert ("gpt-4o-mini", "caller", "calls") in found
    assert ("new", "estimate", "tokens_input") in found
    assert ("other", "provider_default", "calls") in found
    prices = [
        Decimal(line["unit_price"])
        for line in lines
        if (line["priced"], line["unit"]) == ("catalog", "tokens_output")
    ]
    assert prices == [Decimal("777e-12"), Decimal("778e-12")]
    for line in lines:
        if line["unit_price"]:
            exact = Decimal(line["quantity"]) * Decimal(line["unit_price"])
            assert Decimal(line["amount"]) == exact + Decimal(line["rounding"])


def test_an_invoice_has_what_stats_counts_since_a_reset_unless_all_is_wanted(serve: Serve) -> None:
    serve(partial(answer_book, counted=3))
    done = run("export", "invoice", "alice", "--format", "jsonl")
    assert "40 calls before a reset left out" in done.stderr
    assert "3 calls" in done.stderr
    done = run("export", "invoice", "alice", "--format", "jsonl", "--before-reset")
    assert "44 calls" not in done.stderr
    assert "43 calls" in done.stderr


def test_an_invoice_that_is_not_what_stats_says_is_refused(serve: Serve, tmp_path: Path) -> None:
    serve(partial(answer_book, extra=1))
    file = tmp_path / "invoice.csv"
    done = run("export", "invoice", "alice", "--output", str(file))
    assert done.exit_code == 1
    assert "stats has 43 calls" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_export_of_usage_has_every_call_and_field_in_a_file_for_its_owner(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(exporting, "_PAGE", 7)
    service = serve(answer_book)
    file = tmp_path / "usage.csv"
    assert run("export", "usage", "--all", "--output", str(file)).exit_code == 0
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["user"] for row in rows] == ["alice"] * 44 + ["bob"] * 44
    assert rows[1]["cost"] == "0.123456789"
    assert set(rows[0]) == {"user", *LogEntry.__struct_fields__}
    assert file.stat().st_mode & 0o777 == 0o600
    assert all(body.get("limit", 0) in {0, 7, 1_000} for _, body in service.asked)


@pytest.mark.parametrize("arguments", [(), ("alice", "--all")])
def test_an_export_is_of_one_user_or_of_all(serve: Serve, arguments: tuple[str, ...]) -> None:
    service = serve(answer_book)
    done = run("export", "usage", *arguments)
    assert (done.exit_code, service.asked) == (2, [])
    assert done.stderr == "meterd: give either a USER or --all\n"
