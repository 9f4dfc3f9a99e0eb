"""The catalogue by the contract: plans and prices, each change of which makes another one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final, Self

from tests.sim.model import providers as p
from tests.sim.model import reference as r
from tests.sim.model.providers import Known
from tests.sim.model.reference import Refused

ESTIMATE: Final = "0.000001"
"""USD per token if no price is known."""
PER: Final = "cost_per_"

Row = dict[str, Any]


def _defaults() -> tuple[Row, ...]:
    return tuple({**row, "effective_from": 0, "version": 1} for row in r.PRICES.values())


@dataclass(frozen=True)
class Catalogue:
    """Plans in the order in which they were defined, and prices in that of their versions."""

    plans: tuple[Row, ...] = tuple({**plan, "version": 1} for plan in r.PLANS)
    prices: tuple[Row, ...] = field(default_factory=_defaults)
    version: int = 1
    providers: Known = field(default_factory=lambda: p.FIRST)

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @property
    def free(self) -> Row:
        """The plan of who has none."""
        return next(plan for plan in self.plans if plan["tier"] == "free")

    def plan_named(self, text: str) -> Row | None:
        """A plan by name or tier."""
        for by in ("name", "tier"):
            for plan in self.plans:
                if plan[by] == text:
                    return plan
        return None

    def unit_prices(self, provider: str, model: str, at: int) -> tuple[Row, str]:
        """The price that is valid at a moment, and how it was found."""
        for name, how in ((model, "catalog"), ("default", "provider_default")):
            valid = [
                (row["effective_from"], row["version"], row)
                for row in self.prices
                if (row["provider"], row["model"]) == (provider, name)
                and row["effective_from"] <= at
            ]
            if valid:
                return max(valid, key=lambda found: found[:2])[2], how
        return {"cost_per_input_token": ESTIMATE, "cost_per_output_token": ESTIMATE}, "estimate"

    @property
    def limited(self) -> set[str]:
        """What a plan may limit."""
        return {"monthly", p.TEXT_GROUP, *self.providers}

    def put_plan(self, body: Row) -> Catalogue:
        """A new version of a plan, or a new plan."""
        named = [plan for plan in self.plans if plan["name"] == body["name"]]
        if named and named[0]["tier"] != body["tier"]:
            raise Refused("invalid_request", "tier")
        if any(limit.rpartition("_")[0] not in self.limited for limit in body["limits"]):
            raise Refused("invalid_request", "limits")
        names = ("name", "tier", "price_monthly", "price_yearly", "limits", "features")
        fresh = {**{name: body[name] for name in names}, "version": self.version + 1}
        plans = tuple(fresh if plan["name"] == body["name"] else plan for plan in self.plans)
        plans = plans if named else (*plans, fresh)
        return replace(self, plans=plans, version=self.version + 1)

    def put_price(self, body: Row, at: int) -> Catalogue:
        """A price from a moment on."""
        provider = p.named(self.providers, body["provider"])["name"]
        if provider not in self.providers:
            raise Refused("unknown_provider", "provider")
        place = (provider, body["model"])
        since = body.get("effective_from", at)
        known = any((row["provider"], row["model"]) == place for row in self.prices)
        if known and since < at:
            raise Refused("invalid_request", "effective_from")
        costs = {name: body[name] for name in body if name.startswith(PER)}
        fresh = {"provider": place[0], "model": place[1], "effective_from": since, **costs}
        fresh["version"] = self.version + 1
        return replace(self, prices=(*self.prices, fresh), version=self.version + 1)

    def registered(self, name: str) -> Catalogue:
        """The catalogue after a call was the first to name a provider."""
        version = self.version + 1
        known = p.registered(self.providers, name, version)
        return replace(self, providers=known, version=version)

    def put(self, verb: str, body: Row, at: int) -> Catalogue:
        """The catalogue after a change; `Refused` if it is invalid."""
        if verb == "catalog.plans.put":
            return self.put_plan(body)
        if verb == "catalog.prices.put":
            return self.put_price(body, at)
        version = self.version + 1
        if verb == "catalog.providers.put":
            known = p.put(self.providers, body, version)
        else:
            known = p.archived(self.providers, body["id"], version)
        return replace(self, providers=known, version=version)

    def told(self, verb: str, body: Row) -> Any:
        """What a change answers, from the catalogue after it."""
        if verb == "catalog.plans.put":
            plan = self.plan_named(body["name"])
            assert plan is not None
            return plan_shown(plan)
        if verb == "catalog.prices.put":
            return price_shown(self.prices[-1])
        if verb == "catalog.providers.put":
            return p.shown(self.providers[body["id"]])
        return body["id"], self.version

    def ask(self, verb: str, body: Row, at: int) -> Any:
        """What a read shows."""
        if verb == "catalog.plans.list":
            return [plan_shown(plan) for plan in self.plans]
        if verb == "catalog.prices.list":
            asked = [body.get("provider"), body.get("model")]
            found = [
                row
                for row in self.prices
                if asked[0] in {None, row["provider"]} and asked[1] in {None, row["model"]}
            ]
            order = ("provider", "model", "effective_from", "version")
            found.sort(key=lambda row: tuple(row[name] for name in order))
            return [price_shown(row) for row in found]
        if verb == "catalog.providers.list":
            return [p.shown(row) for row in self.providers.values()]
        provider = p.named(self.providers, body["provider"])
        model = body.get("model_used") or provider["default_model"]
        row, how = self.unit_prices(provider["name"], model, at)
        cost, inp, out = r.price(row, body)
        return {"cost": cost, "cost_input": inp, "cost_output": out, "priced": how}


def plan_shown(plan: Row) -> Any:
    """A plan with its amounts as fractions."""
    limits = {name: Fraction(str(value)) for name, value in plan["limits"].items()}
    amounts = [Fraction(str(plan[name])) for name in ("price_monthly", "price_yearly")]
    return plan["name"], plan["tier"], amounts, limits, list(plan["features"]), plan["version"]


def price_shown(row: Row) -> Any:
    """A price with its amounts as fractions."""
    costs = {
        name.removeprefix(PER): Fraction(str(cost))
        for name, cost in row.items()
        if name.startswith(PER) and cost is not None
    }
    return row["provider"], row["model"], row["effective_from"], row["version"], costs
