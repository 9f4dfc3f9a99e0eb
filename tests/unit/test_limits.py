from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from actors.billing.catalog.defaults import default_catalog
from actors.billing.catalog.providers import NAMES, WAVESPEED
from actors.billing.counters.layouts import UNITS
from actors.billing.limits.limits import TOUCHES_MAX, Limit, LimitTable, still_armed, table_of
from messages.stored.catalog import PlanTerms
from tests.support.meter import Meter, nano, plan

PLANS: list[dict[str, Any]] = json.loads(
    files("actors.billing.catalog").joinpath("data/plans.json").read_text()
)
TEXT = ("gemini", "openai", "anthropic", "mistral")


def terms_of(row: dict[str, Any]) -> PlanTerms:
    """A default plan, read here and not by the code under test."""
    limits = tuple(
        (name, nano(value) if name == "monthly_cost" else int(value))
        for name, value in row["limits"].items()
    )
    return PlanTerms(row["name"], row["tier"], 1, limits, tuple(row["features"]))


def in_force(limits: dict[str, int], tier: str = "pro") -> dict[str, Limit]:
    return {limit.name: limit for limit in LimitTable(plan(limits, tier)).limits}


def touched(limits: dict[str, int], provider: str, actual: str, tier: str = "pro") -> set[str]:
    table = LimitTable(plan(limits, tier))
    return {limit.name for limit in table.touched((provider, actual == WAVESPEED))}


def test_the_default_plans_are_loaded_exactly() -> None:
    assert [row["tier"] for row in PLANS] == ["free", "basic", "pro", "enterprise"]
    assert default_catalog().free == terms_of(PLANS[0])


@pytest.mark.parametrize("row", PLANS, ids=lambda row: row["tier"])
def test_zero_is_disabled_in_a_free_plan_and_unlimited_in_every_other(row: dict[str, Any]) -> None:
    found = {limit.name: limit for limit in LimitTable(terms_of(row)).limits}
    zeros = {name for name, value in row["limits"].items() if float(value) == 0}
    if row["tier"] == "free":
        assert set(found) == set(row["limits"])
        assert {name for name, limit in found.items() if limit.disabled} == zeros
    else:
        assert set(found) == set(row["limits"]) - zeros
        assert not any(limit.disabled for limit in found.values())


@pytest.mark.parametrize("tier", ["free", "basic", "pro", "enterprise"])
def test_a_name_that_a_plan_lacks_is_unlimited(tier: str) -> None:
    assert in_force({}, tier) == {}
    meter = Meter(terms=plan({}, tier))
    meter.track("openai", tokens_input=10**9, cost=1_000_000)
    decided = meter.enforce("openai", tokens_requested=10**9, cost_requested=1_000_000, calls=1_000)
    assert decided.allowed
    assert decided.limits == ()


def test_a_name_that_is_no_limit_limits_nothing() -> None:
    names = ("openai_images", "default_calls", "ai_text_generation_cost", "calls", "_calls", "")
    assert in_force(dict.fromkeys(names, 1)) == {}


def test_disabled_limits_are_hard() -> None:
    found = in_force({"ai_text_generation_calls": 5, "openai_calls": 0, "exa_calls": 0}, "free")
    assert found["openai_calls"].hard
    assert found["exa_calls"].hard


@pytest.mark.parametrize("tier", ["free", "pro"])
@pytest.mark.parametrize("provider", NAMES)
def test_beside_a_combined_limit_the_call_limits_of_its_four_providers_are_soft(
    provider: str, tier: str
) -> None:
    limits = {f"{provider}_{unit}": 10 for unit in UNITS} | {"monthly_cost": 10}
    alone = in_force(limits, tier)
    assert all(limit.hard for limit in alone.values())
    grouped = in_force({**limits, "ai_text_generation_calls": 5}, tier)
    soft = {name for name, limit in grouped.items() if not limit.hard}
    assert soft == ({f"{provider}_calls"} if provider in TEXT else set())


@pytest.mark.parametrize("tier", ["free", "pro"])
def test_a_combined_limit_of_zero_softens_nothing(tier: str) -> None:
    found = in_force({"ai_text_generation_calls": 0, "openai_calls": 10}, tier)
    assert found["openai_calls"].hard


@pytest.mark.parametrize("provider", NAMES)
def test_a_call_touches_its_providers_limits_and_those_that_span_it(provider: str) -> None:
    limits = {f"{name}_{unit}": 10 for name in NAMES for unit in UNITS}
    limits |= {"ai_text_generation_calls": 10, "monthly_cost": 10}
    own = {f"{provider}_{unit}" for unit in UNITS} | {"monthly_cost"}
    if provider in TEXT:
        own.add("ai_text_generation_calls")
    assert touched(limits, provider, "someone") == own
    assert touched(limits, provider, "wavespeed") == own | {"wavespeed_calls"}


def test_a_disabled_wavespeed_limit_touches_only_provider_wavespeed() -> None:
    limits = {"wavespeed_calls": 0}
    assert touched(limits, "wavespeed", "wavespeed", "free") == {"wavespeed_calls"}
    assert touched(limits, "wavespeed", "someone", "free") == {"wavespeed_calls"}
    assert touched(limits, "video", "wavespeed", "free") == set()


def test_the_wavespeed_limit_counts_and_limits_every_call_that_wavespeed_serves() -> None:
    meter = Meter(terms=plan({"wavespeed_calls": 3, "video_calls": 10}))
    meter.track("video")  # wavespeed serves it if nothing says otherwise
    meter.track("video", model_used="veo-3")
    meter.track("stability", model_used="flux-1")
    meter.track("wavespeed")
    used = {state.name: state.used for state in meter.enforce("video").limits}
    assert used == {"wavespeed_calls": 3, "video_calls": 2}
    assert meter.enforce("video").violated == ("wavespeed_calls",)
    assert meter.enforce("wavespeed").violated == ("wavespeed_calls",)
    assert meter.enforce("stability", model_used="qwen").violated == ("wavespeed_calls",)
    assert meter.enforce("stability").allowed
    assert meter.enforce("video", model_used="veo-3").allowed
    assert meter.stats().usage_percentages["wavespeed_calls"] == 100.0


def test_a_disabled_wavespeed_limit_refuses_only_provider_wavespeed() -> None:
    meter = Meter(terms=plan({"wavespeed_calls": 0}, "free"))
    assert meter.enforce("video").allowed
    assert meter.enforce("wavespeed").reason_code == "disabled_by_plan"


def test_the_combined_limit_counts_four_providers_together() -> None:
    meter = Meter(terms=plan({"ai_text_generation_calls": 8, "openai_calls": 1}))
    for provider in ("gemini", "openai", "anthropic", "mistral", "huggingface", "exa", "wavespeed"):
        meter.track(provider)
    (combined,) = (s for s in meter.enforce("gemini").limits if s.name.startswith("ai_"))
    assert combined.used == 5
    assert meter.enforce("openai", calls=3).allowed  # its own limit is soft
    assert meter.enforce("openai", calls=4).violated == ("ai_text_generation_calls",)


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("openai_calls", "openai"),
        ("openai_tokens", "openai"),
        ("image_edit_calls", "image_edit"),
        ("wavespeed_calls", "wavespeed"),
        ("openai_cost", None),
        ("monthly_cost", None),
        ("ai_text_generation_calls", None),
    ],
)
def test_a_limit_names_its_provider_unless_it_counts_cost_or_a_group(
    name: str, provider: str | None
) -> None:
    assert in_force({name: 10})[name].provider == provider


def test_equal_terms_share_one_table() -> None:
    assert table_of(plan({"openai_calls": 1})) is table_of(plan({"openai_calls": 1}))


def test_limits_that_can_still_warn_go_by_the_next_threshold_that_has_not_fired() -> None:
    table = LimitTable(plan({"openai_calls": 10, "openai_tokens": 7, "monthly_cost": 3}))
    watched = table.watched(("openai", False))
    fired = {"openai_calls": 80, "openai_tokens": 90, "monthly_cost": 100}
    assert {limit.name: at for _, _, at, limit in still_armed(watched, {})} == {
        "openai_calls": 8,
        "openai_tokens": 6,  # 80 percent of 7 is 5.6
        "monthly_cost": 3,  # of 3 nano-USD 2.4
    }
    assert {limit.name: at for _, _, at, limit in still_armed(watched, fired)} == {
        "openai_calls": 9,
        "openai_tokens": 7,
    }


def test_a_table_knows_a_bounded_number_of_touches_whatever_callers_name() -> None:
    table = table_of(plan({"vllm_calls": 5, "monthly_cost": nano(1)}))
    for number in range(3 * TOUCHES_MAX):
        limits = table.touched((f"host-{number}", 0))
        assert [limit.name for limit in limits] == ["monthly_cost"]
        assert [limit.name for *_, limit in table.watched((f"host-{number}", 0))] == [
            "monthly_cost"
        ]
        assert len(table._touched) <= TOUCHES_MAX
        assert len(table._watched) <= TOUCHES_MAX
    assert [limit.name for limit in table.touched(("vllm", 0))] == ["vllm_calls", "monthly_cost"]
