"""Overrides that were stored before an override was a decision of its own."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from actors.billing.limits.limits import table_of
from actors.billing.periods.subscription import overrides_of, state_of, terms_of
from messages.stored.events import (
    StoredSubscription,
)
from tests.golden.stored import BARE_SUBSCRIPTION
from tests.support.meter import NOON, Meter

EARLIER: Any = (("exa_calls", 0), ("openai_calls", 5))


def subscription(plan: str, tier: str, **fields: Any) -> StoredSubscription:
    return replace(BARE_SUBSCRIPTION, plan=plan, tier=tier, **fields)


def test_terms_that_were_stored_before_mean_what_they_meant() -> None:
    terms = replace(
        Meter().catalog.plan("Pro").terms,  # type: ignore[union-attr]  # there is one
        limits=(("ai_text_generation_calls", 9), ("openai_calls", 5), ("exa_calls", 0)),
    )
    assert terms.overridden is UNSET
    before = table_of(terms).by_name
    assert (before["openai_calls"].kind, "exa_calls" in before) == ("soft", False)
    now = table_of(replace(terms, overridden=("openai_calls", "exa_calls"))).by_name
    assert (now["openai_calls"].kind, now["exa_calls"].disabled) == ("hard", True)
    assert now["exa_calls"].hard


@pytest.mark.parametrize(("plan", "tier", "zero"), [("Pro", "pro", None), ("Free", "free", 0)])
def test_an_earlier_override_is_hard_from_the_next_period_and_its_0_means_what_it_meant(
    plan: str, tier: str, zero: int | None
) -> None:
    earlier = subscription(plan, tier, overrides=EARLIER)
    assert overrides_of(earlier) == (("exa_calls", zero), ("openai_calls", 5))
    limits = table_of(terms_of(earlier, NOON, None, Meter().catalog)).by_name
    assert (limits["openai_calls"].value, limits["openai_calls"].kind) == (5, "hard")
    assert ("exa_calls" in limits) == (zero == 0)
    shown = state_of(earlier, NOON, suspended=False)
    assert shown is not None
    assert shown.overrides == {"exa_calls": zero, "openai_calls": 5}


def test_an_override_of_now_is_taken_as_it_is() -> None:
    decided: Any = (("exa_calls", 0), ("openai_calls", None))
    assert overrides_of(subscription("Pro", "pro", hard_overrides=decided)) == decided
