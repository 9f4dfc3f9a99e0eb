"""The catalogue by the contract: plans and prices, each change of which makes another one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final, Self

from tests.sim.model import providers as p
from tests.sim.model import reference as r
from tests.sim.model import units
from tests.sim.model.pricing import Found, charged, defaults, in_force, look_up, usage_of
from tests.sim.model.providers import Known
from tests.sim.model.reference import Refused

PER: Final = "cost_per_"
UNIT_CHANGES: Final = {
    "catalog.units.put": units.put,
    "catalog.units.archive": units.archive,
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Catalogue:
    """Plans and units in the order in which they were defined, prices in that of their versions."""

    plans: tuple[Row, ...] = tuple({**plan, "version": 1} for plan in r.PLANS)
    prices: tuple[Row, ...] = field(default_factory=defaults)
    version: int = 1
    _known: dict[Any, Found] = field(default_factory=dict, init=False, compare=False, repr=False)
    _rows: dict[str, list[Row]] = field(default_factory=dict, init=False, compare=False, repr=False)
    units: tuple[Row, ...] = ()
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

    def found(self, provider: str, model: str, at: int, variant: str = "") -> Found:
        """The price that is valid at a moment, and how it was found."""
        own = self._of(provider)
        since = max(
            (row["effective_from"] for row in own if row["effective_from"] <= at), default=0
        )
        asked = (provider, model, variant, since)
        if asked not in self._known:
            self._known[asked] = look_up(own, provider, model, variant, at)
        return self._known[asked]

    def _of(self, provider: str) -> list[Row]:
        if provider not in self._rows:
            self._rows[provider] = [row for row in self.prices if row["provider"] == provider]
        return self._rows[provider]

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
        model, variant = body["model"], body.get("variant", "")
        since = body.get("effective_from", at)
        if since < at and (model, variant) in in_force(self._of(provider), since):
            raise Refused("invalid_request", "effective_from")
        aliases = body.get("aliases", ())
        if aliases and variant:
            raise Refused("invalid_request", "aliases")
        others = [
            row
            for row in self._of(provider)
            if row["model"] != model and not row["variant"] and not self._over(row, at)
        ]
        if any({*row.get("aliases", ())} & {*aliases} for row in others):
            raise Refused("invalid_request", "aliases")
        version = self.version + 1
        place = {"provider": provider, "variant": variant, "effective_from": since}
        fresh = {**body, **place, "version": version}
        return replace(self, prices=(*self.prices, fresh), version=version)

    def _over(self, row: Row, at: int) -> bool:
        """Whether another row of its variant has taken its place by a moment."""
        newest = in_force(self._of(row["provider"]), at).get((row["model"], row["variant"]))
        return newest is not None and (newest["effective_from"], newest["version"]) > (
            *(row["effective_from"], row["version"]),
        )

    def cancel_price(self, body: Row, at: int) -> Catalogue:
        """Without the newest price of a variant from a moment that is to come."""
        provider = p.named(self.providers, body["provider"])["name"]
        if provider not in self.providers:
            raise Refused("unknown_provider", "provider")
        place = (provider, body["model"], body.get("variant", ""), body["effective_from"])
        same = [
            row
            for row in self.prices
            if (row["provider"], row["model"], row["variant"], row["effective_from"]) == place
        ]
        if not same:
            raise Refused("unknown_price", "effective_from")
        if body["effective_from"] <= at:
            raise Refused("invalid_request", "effective_from")
        newest = max(same, key=lambda row: int(row["version"]))
        left = tuple(row for row in self.prices if row is not newest)
        return replace(self, prices=left, version=self.version + 1)

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
        if verb == "catalog.prices.cancel":
            return self.cancel_price(body, at)
        version = self.version + 1
        if verb in UNIT_CHANGES:
            return replace(self, units=UNIT_CHANGES[verb](self.units, body), version=version)
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
        if verb == "catalog.prices.cancel":
            return body["model"], body.get("variant", ""), body["effective_from"], self.version
        if verb in UNIT_CHANGES:
            return next(unit for unit in self.units if unit["id"] == body["id"])
        if verb == "catalog.providers.put":
            return p.shown(self.providers[body["id"]])
        return body["id"], self.version

    def ask(self, verb: str, body: Row, at: int) -> Any:
        """What a read shows."""
        if verb == "catalog.plans.list":
            return [plan_shown(plan) for plan in self.plans]
        if verb == "catalog.units.list":
            return [*self.units]
        if verb == "catalog.prices.list":
            asked = [body.get("provider"), body.get("model")]
            found = [
                row
                for row in self.prices
                if asked[0] in {None, row["provider"]} and asked[1] in {None, row["model"]}
            ]
            order = ("provider", "model", "variant", "effective_from", "version")
            found.sort(key=lambda row: tuple(row[name] for name in order))
            return [price_shown(row) for row in found]
        if verb == "catalog.providers.list":
            return [p.shown(row) for row in self.providers.values()]
        provider = p.named(self.providers, body["provider"])
        model = body.get("model_used") or provider["default_model"]
        priced = self.found(provider["name"], model, at, body.get("price_variant", ""))
        return {
            **charged(priced, usage_of(body, body.get("units", {}))),
            **how(priced),
            "priced": priced.priced,
        }


def plan_shown(plan: Row) -> Any:
    """A plan with its amounts as fractions."""
    limits = {name: Fraction(str(value)) for name, value in plan["limits"].items()}
    amounts = [Fraction(str(plan[name])) for name in ("price_monthly", "price_yearly")]
    return plan["name"], plan["tier"], amounts, limits, list(plan["features"]), plan["version"]


def price_shown(row: Row) -> Any:
    """A price with its amounts as fractions."""
    further = ("variant", "tiers", "token_parts", "units", "multipliers", "aliases")
    return (
        *(row["provider"], row["model"], row["effective_from"], row["version"]),
        exactly({name: cost for name, cost in row.items() if name.startswith(PER)}),
        exactly({name: row[name] for name in further if row.get(name)}),
    )


def exactly(value: Any) -> Any:
    """Numbers as fractions, without what is null or empty; sets of names in order."""
    if isinstance(value, dict):
        found = {name: exactly(part) for name, part in value.items()}
        return {name: part for name, part in found.items() if part not in (None, {}, [])}
    if isinstance(value, list | tuple):
        return sorted(value) if value and isinstance(value[0], str) else [exactly(x) for x in value]
    return value if value is None or isinstance(value, str) else Fraction(str(value))


def how(found: Found) -> Row:
    """The fields of a reply that say how a price was found."""
    return {
        "price_model": found.price_model,
        "matched_by": found.matched_by,
        "variant_priced": found.variant_priced,
    }
