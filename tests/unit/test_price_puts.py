"""What an import puts into a catalogue, in which order, and that a second one puts nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from actors.cli.importer.pricelists.compare import differences
from actors.cli.importer.pricelists.form import canonical
from actors.cli.importer.pricelists.genai import read_genai_prices
from actors.cli.importer.pricelists.litellm import read_litellm
from actors.cli.importer.pricelists.puts import Plan, in_force, planned
from actors.cli.importer.pricelists.report import as_json, lines
from actors.cli.importer.pricelists.rows import ListedPrice, ListedProvider, PriceList, midnight
from actors.cli.importer.pricelists.sending import IN_FLIGHT, Sent, read_known, send
from messages.errors import RequestError
from tests.support.fake_catalogue import NOW, PER_PAGE, Catalogue
from tests.support.litellm_charges import list_text
from tests.support.sdks import sdk


def imported(catalogue: Catalogue, found: PriceList, since: date | None = None) -> Plan:
    async def run() -> Plan:
        known, providers = await read_known(catalogue.ask)
        plan = planned(found, known, providers, catalogue.now, since)
        sent = await send(catalogue.ask, plan)
        if sent.failure is not None:
            raise sent.failure
        assert sent.put == plan.put
        return plan

    return asyncio.run(run())


def sent_of(catalogue: Catalogue, found: PriceList) -> Sent:
    async def run() -> Sent:
        known, providers = await read_known(catalogue.ask)
        return await send(catalogue.ask, planned(found, known, providers, catalogue.now))

    return asyncio.run(run())


def listed(*rows: ListedPrice) -> PriceList:
    providers = sorted({row.provider for row in rows} - {"openai"})
    return PriceList(list(rows), [ListedProvider(p, p, "llm") for p in providers])


def row(model: str, price: str = "0.000001", provider: str = "openai", **more: Any) -> ListedPrice:
    fields = {"cost_per_input_token": Decimal(price)}
    fields |= {name: more.pop(name) for name in ("aliases", "tiers", "units") if name in more}
    return ListedPrice(provider, model, fields, **more)


def genai(since: date | None = None) -> PriceList:
    return read_genai_prices(sdk("genai_prices.data").providers, NOW.date(), since)


@pytest.mark.parametrize("since", [None, date(2026, 5, 1)])
@pytest.mark.parametrize("of", ["litellm", "genai"])
def test_a_second_import_of_a_list_changes_nothing(of: str, since: date | None) -> None:
    catalogue = Catalogue()
    started = time.perf_counter()
    found = read_litellm(list_text()) if of == "litellm" else genai(since)
    first = imported(catalogue, found, since)
    assert time.perf_counter() - started < 10
    assert first.put > 2_000
    for later in (timedelta(0), timedelta(hours=1)):
        catalogue.now += later
        again = imported(catalogue, found, since)
        assert (again.put, again.providers) == (0, [])
        assert again.same == len([one for one in found.rows if not one.past])


@pytest.mark.parametrize("day", [date(2026, 5, 1), date(2026, 8, 21), date(2026, 11, 9)])
def test_at_a_day_in_the_past_holds_what_the_package_says_of_it(day: date) -> None:
    catalogue = Catalogue()
    imported(catalogue, genai(date(2026, 5, 1)), date(2026, 5, 1))
    known, _ = asyncio.run(read_known(catalogue.ask))
    then = read_genai_prices(sdk("genai_prices.data").providers, day)
    standard = [row for row in then.rows if row.since is None]
    assert len(standard) > 2_000
    for one in standard:
        held = in_force(known.get(one.key, []), midnight(day))
        assert held is not None, one.key
        assert canonical(held.fields) == canonical(one.fields), one.key


def test_pages_are_read_once_and_models_are_put_side_by_side() -> None:
    catalogue = Catalogue()
    found = genai()
    imported(catalogue, found)
    catalogue.asked.clear()
    imported(catalogue, genai())
    pages = -(-len(catalogue.rows) // PER_PAGE)
    assert [what for what, _ in catalogue.asked] == ["prices.list"] * pages + ["providers.list"]
    assert catalogue.most_in_flight == IN_FLIGHT


def test_only_what_differs_is_put_however_the_service_writes_it() -> None:
    catalogue = Catalogue()
    tiers = [{"above_input_tokens": 5, "cost_per_input_token": Decimal("0.000002")}]
    units = {"seconds": {"usd": Decimal("0.60"), "per": 60}}
    imported(catalogue, listed(row("a", tiers=tiers, units=units), row("b"), row("c")))
    catalogue.rows[0]["tiers"][0]["token_parts"] = {}
    catalogue.rows[0] |= {"multipliers": {}, "aliases": [], "cost_per_request": None}
    plan = imported(
        catalogue,
        listed(row("a", tiers=tiers, units={"seconds": Decimal("0.01")}), row("b", "0.000003")),
    )
    assert (list(plan.prices), plan.same) == ([("openai", "b")], 1)


def test_since_a_day_holds_where_nothing_was_in_force_then() -> None:
    catalogue = Catalogue()
    catalogue.now = NOW - timedelta(days=300)
    imported(catalogue, listed(row("old", "0.000009")))
    catalogue.now = NOW - timedelta(days=2)
    imported(catalogue, listed(row("young", "0.000009"), row("right")))
    catalogue.now = NOW
    imported(
        catalogue, listed(row("old"), row("young"), row("right"), row("new")), date(2026, 6, 1)
    )
    june = datetime(2026, 6, 1, tzinfo=UTC)
    added = [(r["model"], r["effective_from"]) for r in catalogue.rows[3:]]
    assert sorted(added) == [
        ("new", june),
        ("old", NOW),
        ("right", june),
        ("young", june),
        ("young", NOW),
    ]


def test_of_one_model_the_puts_keep_their_order() -> None:
    catalogue = Catalogue()
    days = [date(2026, 9, 1), date(2026, 6, 1)]
    past = [row("m", f"0.00000{n}", since=day, past=True) for n, day in enumerate(days, 2)]
    imported(catalogue, listed(*past, row("m"), row("m", "0.000005", since=date(2027, 1, 1))))
    assert [one["effective_from"].date() for one in catalogue.rows] == [
        *days,
        NOW.date(),
        date(2027, 1, 1),
    ]


def test_what_failed_in_the_middle_is_completed_by_a_repeat() -> None:
    catalogue = Catalogue()
    found = listed(*(row(f"m{n}", provider="groq") for n in range(300)))
    catalogue.refuses = {"m70": "unavailable"}
    sent = sent_of(catalogue, found)
    assert isinstance(sent.failure, RequestError)
    assert sent.providers == ["groq"]
    assert sent.put == len(catalogue.rows) < 300
    catalogue.refuses = {}
    plan = imported(catalogue, found)
    assert plan.put == 300 - sent.put
    assert len(catalogue.rows) == 300


def test_what_the_service_refuses_for_good_is_named_and_the_others_go_on() -> None:
    catalogue = Catalogue()
    found = listed(*(row(f"m{n}") for n in range(300)))
    catalogue.refuses = {"m70": "invalid_request"}
    sent = sent_of(catalogue, found)
    assert (sent.put, sent.failure) == (299, None)
    assert sent.refused == [("openai", "m70", "invalid_request: no")]


def test_of_a_model_that_is_refused_no_variant_is_put_but_its_rows_of_other_moments() -> None:
    catalogue = Catalogue()
    day = date(2027, 1, 1)
    prices = {None: "0.000001", day: "0.000002"}
    rows = [row("m", prices[since], variant=one, since=since) for since in prices for one in "ab"]
    answer = catalogue.answer

    def refuse(what: str, body: dict[str, Any]) -> Any:
        if body.get("variant") == "a" and "effective_from" not in body:
            raise RequestError("invalid_request", "no")
        return answer(what, body)

    catalogue.answer = refuse  # type: ignore[method-assign]
    sent = sent_of(catalogue, listed(*rows))
    assert (sent.put, len(sent.refused)) == (2, 1)
    assert [(one["variant"], one["effective_from"]) for one in catalogue.rows] == [
        ("a", midnight(day)),
        ("b", midnight(day)),
    ]


def test_a_provider_that_is_there_by_any_name_is_not_put_and_keeps_its_aliases() -> None:
    catalogue = Catalogue()
    catalogue.providers.append({"id": "grok-inc", "aliases": ["x-ai"]})
    found = PriceList(
        [row("m", provider="xai")], [ListedProvider("xai", "xAI", "llm", ("x-ai", "grok"))]
    )
    (body,) = imported(catalogue, found).providers
    assert body["aliases"] == ["grok"]
    assert imported(catalogue, found).providers == []


def test_an_alias_that_another_model_of_the_service_has_is_left_out_and_named() -> None:
    catalogue = Catalogue()
    imported(catalogue, listed(row("own"), row("other", aliases=["taken"])))
    found = listed(row("m", aliases=["own", "taken", "free"]))
    imported(catalogue, found)
    assert catalogue.rows[-1]["aliases"] == ["free"]
    left = ("openai", "m", "an alias that another model of the service has")
    assert found.left_out == [left, left]


def test_an_alias_that_a_row_to_come_has_is_left_out_though_the_list_has_its_model() -> None:
    catalogue = Catalogue()
    imported(catalogue, listed(row("old", aliases=["x"], since=date(2027, 1, 1)), row("old")))
    found = listed(row("new", aliases=["x", "y"]), row("old", "0.000002"))
    imported(catalogue, found)
    assert [one["aliases"] for one in catalogue.rows if one["model"] == "new"] == [["y"]]
    assert found.left_out == [("openai", "new", "an alias that another model of the service has")]


def test_a_name_goes_from_one_model_to_another_after_that_gave_it_up() -> None:
    catalogue = Catalogue()
    imported(catalogue, listed(row("a", aliases=["x"]), row("b")))
    plan = imported(catalogue, listed(row("b", aliases=["x"]), row("a")))
    assert list(plan.prices) == [("openai", "a"), ("openai", "b")]


def test_a_put_has_the_same_key_whenever_the_same_list_meets_the_same_price() -> None:
    def keys(found: PriceList) -> Iterable[str]:
        plan = planned(found, {}, [], NOW)
        return [body["event_id"] for bodies in plan.prices.values() for body in bodies]

    assert keys(listed(row("m"))) == keys(listed(row("m")))
    assert keys(listed(row("m"))) != keys(listed(row("m", "0.000002")))
    assert keys(listed(row("m"))) != keys(listed(row("m", variant="batch")))


def test_the_check_says_what_is_new_changed_and_vanished_but_not_other_names() -> None:
    catalogue = Catalogue()
    imported(catalogue, listed(row("same", aliases=["s"]), row("dear", "0.000002"), row("gone")))
    known, _ = asyncio.run(read_known(catalogue.ask))
    default = [("openai", "same", ""), ("openai", "gone", "")]
    found = listed(row("same"), row("dear"), row("dear", variant="batch"))
    assert differences(found, known, default, NOW) == {
        "new": [("openai", "dear", "batch")],
        "changed": [("openai", "dear", "")],
        "vanished": [("openai", "gone", "")],
    }


def test_the_report_has_each_group_in_json_and_the_frequent_ones_in_lines() -> None:
    found = PriceList(left_out=[("openai", f"m{n}", f"key{n % 30}") for n in range(90)])
    found.skip("no price", "m")
    found.cleaned.append(("openai", "m", "input_cost_per_token"))
    report = as_json(found, Sent(["groq"], 3), 4, dry_run=True)
    assert len(report["left_out"]) == 30
    assert report["skipped"] == {"no price": {"count": 1, "examples": ["m"]}}
    shown = list(lines(json.loads(json.dumps(report))))
    assert shown[:2] == [
        "3 prices would be put, 4 in force already",
        "1 providers would be put: groq",
    ]
    assert shown[-1] == "  and 10 more kinds (all of them with --json)"
