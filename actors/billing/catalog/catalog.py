"""The catalogue: providers, prices and plans; `defaults` has those that meterd starts with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from actors.billing.catalog.prices import ESTIMATE, Price, rates_of
from actors.billing.catalog.providers import TEXT, WAVESPEED, Provider, Providers
from messages.codec import money_of
from messages.dimensions import DIMENSIONS
from messages.errors import InvalidRequest
from messages.stored.errors import UnreadableEvent
from messages.stored.events import KIND, CatalogEvent, PlanPut, PlanTerms, PricePut

FREE_TIER: Final = "free"
TEXT_CALLS: Final = f"{TEXT}_calls"
WAVESPEED_CALLS: Final = f"{WAVESPEED}_calls"
MONTHLY_COST: Final = "monthly_cost"
"""The limits that count what spans providers."""
DEFAULT: Final = "default"
"""The model whose price holds for the models of its provider without a price."""
ROUTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Priced:
    """A price and how it was found: ``catalog``, ``provider_default`` or ``estimate``.

    ``older`` is the price that was valid before.
    """

    price: Price
    how: str
    older: Priced | None = None


Touch = tuple[str, bool]
"""What decides which limits a call touches: its provider, and whether wavespeed serves it."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """What a call's provider and model come to: canonical names and the newest price."""

    provider: str
    actual: str
    model: str
    touch: Touch
    newest: Priced


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan; prices in nano-USD."""

    terms: PlanTerms
    price_monthly_nano: int
    price_yearly_nano: int


class Catalog:
    """What calls cost and what plans allow. Read where things are decided, never by `apply`.

    Attributes:
        providers: all providers; they are part of the program.
        version: that of the newest change: every change has a number of its own.
        seq: the position of the catalogue's log up to which this is.
    """

    def __init__(
        self, providers: Iterable[Provider], prices: Iterable[Price], plans: Iterable[Plan]
    ) -> None:
        self.providers = Providers(providers)
        self.version = 1
        self.seq = 0
        self._plans = {plan.terms.name: plan for plan in plans}
        self._rows: dict[tuple[str, str], list[Price]] = {}
        # Made once per change: every charge asks for one of these.
        self._own: dict[tuple[str, str], Priced] = {}
        self._defaults: dict[str, Priced] = {}
        self._routes: dict[tuple[str, str | None, str | None, str | None], ResolvedModel] = {}
        for row in prices:
            self._put(row)

    def take(self, event: CatalogEvent, seq: int) -> None:
        """Let a stored change of the catalogue take effect.

        Raises:
            UnreadableEvent: it names what this version does not know.
        """
        try:
            self._take(event)
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableEvent(KIND[type(event)], str(error), seq) from error
        self.seq = seq

    def _take(self, event: CatalogEvent) -> None:
        if isinstance(event, PlanPut):
            plan = Plan(event.terms, event.price_monthly_nano, event.price_yearly_nano)
            self._plans[event.terms.name] = plan
            self.version = event.terms.version
        else:
            self._put(price_of(event))
            self.version = event.version

    def _put(self, row: Price) -> None:
        rows = self._rows.setdefault((row.provider, row.model), [])
        rows.append(row)
        self._routes.clear()
        # If two prices begin at one moment, the newer one counts.
        rows.sort(key=lambda row: (row.effective_from, row.version))
        self._own[row.provider, row.model] = _chain(rows, "catalog")
        if row.model == DEFAULT:
            self._defaults[row.provider] = _chain(rows, "provider_default")

    @property
    def plans(self) -> tuple[Plan, ...]:
        """All plans, in the order in which they were defined."""
        return tuple(self._plans.values())

    def prices(self, provider: str | None = None, model: str | None = None) -> list[Price]:
        """All prices by provider, model and moment, also those of the past and the future."""
        return [
            row
            for key in sorted(self._rows)
            if provider in {None, key[0]} and model in {None, key[1]}
            for row in self._rows[key]
        ]

    @property
    def free(self) -> PlanTerms:
        """The plan of a user without a subscription."""
        return next(plan.terms for plan in self._plans.values() if plan.terms.tier == FREE_TIER)

    def plan(self, name: str) -> Plan | None:
        """The plan of a name, else the first of a tier."""
        plan = self._plans.get(name)
        if plan is not None:
            return plan
        return next((plan for plan in self._plans.values() if plan.terms.tier == name), None)

    def price(self, provider: str, model: str, moment: int) -> Priced:
        """The price of a model at a moment: its own row, else its provider's default one.

        If neither is valid at that moment, it is an estimate.
        """
        found = self._own.get((provider, model))
        while found is not None and found.price.effective_from > moment:
            found = found.older
        if found is None:
            found = self._defaults.get(provider)
            while found is not None and found.price.effective_from > moment:
                found = found.older
        return found or _ESTIMATED

    def route(
        self, provider: str, model: str | None, actual: str | None, endpoint: str | None
    ) -> ResolvedModel:
        """What a call of these names comes to; most calls come again and again.

        Raises:
            RequestError: ``unknown_provider``.
        """
        names = (provider, model, actual, endpoint)
        route = self._routes.get(names)
        if route is None:
            found = self.providers.find(provider)
            served, name = found.actual_of(actual, model, endpoint), model or found.default_model
            newest = self._own.get((found.name, name)) or self._defaults.get(found.name)
            touch = (found.name, served == WAVESPEED)
            route = ResolvedModel(found.name, served, name, touch, newest or _ESTIMATED)
            if len(self._routes) >= ROUTES_MAX:
                self._routes.clear()  # an order of use would cost every call more than this
            self._routes[names] = route
        return route

    def limit_value(self, name: str, raw: msgspec.Raw, field: str) -> int:
        """The value of a limit as it was sent: a count, or nano-USD.

        Raises:
            InvalidRequest: there is no such limit, or it cannot have that value.
        """
        provider, _, unit = name.rpartition("_")
        known = name in {TEXT_CALLS, MONTHLY_COST} or (
            unit in {"calls", "tokens", "cost"}
            and any(provider == known.name for known in self.providers.all)
        )
        if not known:
            raise InvalidRequest(f"there is no limit {name[:64]!r}", field)
        if is_cost(name):
            amount = money_of(raw, field)
            if amount is None:
                raise InvalidRequest(f"{name} must be a number", field)
            return amount
        text = bytes(raw)
        if not text.isdigit() or len(text) > 15:
            raise InvalidRequest(f"{name} must be an integer from 0 to 10^15 - 1", field)
        return int(text)


def _chain(rows: list[Price], how: str) -> Priced:
    """The prices of one model, the newest moment in front."""
    found: Priced | None = None
    for row in rows:
        found = Priced(row, how, found)
    assert found is not None
    return found


_ESTIMATED: Final = Priced(ESTIMATE, "estimate")


def price_of(event: PricePut) -> Price:
    """The price of a stored change."""
    amounts = {dimension.price: getattr(event, dimension.price) for dimension in DIMENSIONS}
    return Price(
        provider=event.provider,
        model=event.model,
        version=event.version,
        effective_from=event.effective_from,
        rates=rates_of(amounts),
    )


def is_cost(limit: str) -> bool:
    """Whether a limit of that name is an amount of money."""
    return limit.endswith("_cost")
