"""What the contract says, plain and slow: the reference that the service is compared with.

It keeps every call as a record and adds them up for every answer. It shares nothing with the
service but the data files of plans, prices and providers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.sim.model.periods import month, name, plus_months

DATA = Path(__file__).parents[3] / "actors" / "billing" / "catalog" / "data"
PLANS = json.loads((DATA / "plans.json").read_text())
PRICES = {
    (row["provider"], row["model"]): row for row in json.loads((DATA / "prices.json").read_text())
}
PROVIDERS = {row["name"]: row for row in json.loads((DATA / "providers.json").read_text())}
SECOND = 10**6
DAY = 86_400 * SECOND
TEXT = ("gemini", "openai", "anthropic", "mistral")
UNITS = ("calls", "tokens", "cost")
REASONS = {
    "calls": "call_limit_reached",
    "tokens": "token_limit_exceeded",
    "cost": "cost_limit_reached",
}


class Refused(Exception):
    """An error reply: its code and field."""


@dataclass
class Call:
    """A call that was recorded."""

    provider: str
    actual: str
    model: str
    tokens: int
    cost: int
    at: int
    reset: int  # how many resets of its period came before
    said: dict[str, Any] = field(default_factory=dict)  # what of it is priced, if it is to be made
    units: dict[str, int] = field(default_factory=dict)
    how: str = ""  # it was priced
    unpriced: list[str] = field(default_factory=list)
    text: bool = False  # of the group, though it is none of `TEXT`


@dataclass
class Period:
    """A billing period and everything in it."""

    key: str
    start: int
    end: int
    plan: dict[str, Any]
    calls: list[Call] = field(default_factory=list)
    resets: int = 0
    fired: dict[str, int] = field(default_factory=dict)
    slept: list[int] = field(default_factory=list)

    def counted(self) -> list[Call]:
        """What the counters count: since the last reset."""
        return [call for call in self.calls if call.reset == self.resets]


@dataclass
class Hold:
    """Amounts that are set aside."""

    id: str
    call: Call
    calls: int
    expires: int
    derived: bool
    ended: str = ""


def value_of(limit: str, number: Any) -> int:
    """A limit's value: counts as they are, cost in nano-USD."""
    return int(Fraction(str(number)) * 10**9) if limit.endswith("_cost") else int(number)


def with_overrides(plan: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """A plan with some limits decided for one user; None lifts one."""
    limits = {**plan["limits"], **overrides}
    kept = {name: value for name, value in limits.items() if value is not None}
    return {**plan, "limits": kept, "decided": {*overrides}}


def rounded(amount: Fraction) -> int:
    """Half to even; Python's own."""
    return round(amount)


def limits_of(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The limits in force: name, unit, value, hard, disabled."""
    free = plan["tier"] == "free"
    found = []
    for limit, number in plan["limits"].items():
        value = value_of(limit, number)
        decided = limit in plan.get("decided", ())
        if value == 0 and not free and not decided:
            continue
        unit = limit.rpartition("_")[2]
        owner = limit.rpartition("_")[0]
        grouped = value_of("x", plan["limits"].get("ai_text_generation_calls", 0)) > 0
        soft = grouped and unit == "calls" and owner in TEXT and value > 0 and not decided
        found.append(
            {"name": limit, "unit": unit, "value": value, "hard": not soft, "off": value == 0}
        )
    return found


def counts(limit: dict[str, Any], call: Call) -> bool:
    """Whether a call counts against a limit."""
    owner = limit["name"].rpartition("_")[0]
    if limit["name"] == "monthly_cost":
        return True
    if limit["name"] == "ai_text_generation_calls":
        return call.provider in TEXT or call.text
    if limit["name"] == "wavespeed_calls":
        spans = call.actual == "wavespeed" and not limit["off"]
        return call.provider == "wavespeed" or spans
    return bool(call.provider == owner)


def amount(limit: dict[str, Any], calls: list[Call]) -> int:
    """What calls use of a limit."""
    mine = [call for call in calls if counts({**limit, "off": False}, call)]
    if limit["unit"] == "calls":
        return len(mine)
    return sum(call.tokens if limit["unit"] == "tokens" else call.cost for call in mine)


def new_period(ref: Any, start: int, end: int, plan: dict[str, Any]) -> Period:
    """A period with its key: those that start in one month are numbered as they come."""
    before = sum(1 for period in ref.periods if name(period.start) == name(start))
    key = name(start) if before == 0 else f"{name(start)}.{before + 1}"
    return Period(key, start, end, plan)


def cycle_end(sub: dict[str, Any]) -> int:
    """The end of the billing cycle under way."""
    return plus_months(sub["anchor"], sub["cycle"] + (12 if sub["yearly"] else 1))


def month_index(anchor: int, at: int) -> int:
    """How many whole months from the anchor to a moment."""
    index = 0
    while plus_months(anchor, index + 1) <= at:
        index += 1
    return index


def expired(sub: dict[str, Any] | None, at: int) -> bool:
    """Whether the billing cycle is over and nothing renews it."""
    if sub is None or sub["cancelled"] or sub["auto_renew"] or sub["at_end"]:
        return False
    return at >= cycle_end(sub)


def calendar(at: int) -> tuple[int, int]:
    """The calendar month of a moment."""
    return month(at)
