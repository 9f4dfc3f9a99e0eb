"""The catalogue: providers, prices and plans; `defaults` has those that meterd starts with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from actors.billing.catalog.names import detail_of
from actors.billing.catalog.price_list import NO_DEFAULTS, Priced, PriceList
from actors.billing.catalog.prices import ESTIMATE, NO_CHARGE, Price, UnitPrice, price
from actors.billing.catalog.providers import (
    HINTED_MAX,
    REFUSE,
    TEXT,
    WAVESPEED,
    ZERO,
    Provider,
    Providers,
    provider_of,
)
from actors.billing.catalog.units import Units
from messages.codec import money_of
from messages.dimensions import DIMENSIONS
from messages.errors import InvalidRequest
from messages.refusals import closest
from messages.scalars import EXCLUSIVE
from messages.stored.catalog import (
    CatalogEvent,
    PlanPut,
    PlanTerms,
    PriceCancelled,
    PricePut,
    ProviderPut,
    UnitArchived,
    UnitPut,
)
from messages.stored.detail import UsageDetail
from messages.stored.errors import MISFITS, UnreadableEvent
from messages.stored.events import (
    KIND,
)

FREE_TIER: Final = "free"
TEXT_CALLS: Final = f"{TEXT}_calls"
WAVESPEED_CALLS: Final = f"{WAVESPEED}_calls"
MONTHLY_COST: Final = "monthly_cost"
"""The limits that count what spans providers."""
ROUTES_MAX: Final = 4096
"""Routes that are kept: with names of usual length they take 3 MB."""
ROUTE_CHARACTERS_MAX: Final = 256
"""A route with longer names is not kept: nobody fills the memory with names."""
_UNITS: Final = ("calls", "tokens", "cost")


_NOT_LOOKED: Final = Priced(ESTIMATE, "estimate", since=0, until=0)
"""Of a route whose price was not looked for."""
Touch = tuple[str, int]
"""What decides which limits a call touches: its provider, and the sum of what follows."""
BY_WAVESPEED: Final = 1
"""Wavespeed serves the call."""
OF_TEXT: Final = 2
"""The provider is of the text group and none of the 14: of those their place says it."""


def touch_of(provider: str, actual: str, *, text: bool) -> Touch:
    """What decides which limits a call touches; ``text`` as `OF_TEXT`."""
    return provider, (BY_WAVESPEED if actual == WAVESPEED else 0) + (OF_TEXT if text else 0)


class ResolvedModel:
    """What a call's provider and model come to.

    Attributes:
        provider, actual, model: canonical names.
        touch: what decides which limits it touches.
        entry: the provider, as it is now.
        detail: what is stored of how the names were found, None if that is nothing.
        plain: whether the provider counts as most do: what the cache had is inside of the input.
        found: the price that was found last, for the span of moments that it names.
    """

    __slots__ = ("actual", "detail", "entry", "found", "model", "plain", "provider", "touch")

    def __init__(
        self,
        provider: str,
        actual: str,
        model: str,
        touch: Touch,
        entry: Provider,
        detail: UsageDetail | None,
    ) -> None:
        self.provider = provider
        self.actual = actual
        self.model = model
        self.touch = touch
        self.entry = entry
        self.detail = detail
        self.plain = entry.token_counting != EXCLUSIVE
        self.found = _NOT_LOOKED


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan; prices in nano-USD."""

    terms: PlanTerms
    price_monthly_nano: int
    price_yearly_nano: int


class Catalog:
    """What calls cost and what plans allow. Read where things are decided, never by `apply`.

    Attributes:
        providers: all providers, as they are now.
        price_list: all prices.
        units: all units.
        version: that of the newest change: every change has a number of its own.
        seq: the position of the catalogue's log up to which this is.
    """

    def __init__(
        self,
        providers: Iterable[Provider],
        prices: Iterable[Price],
        plans: Iterable[Plan],
        listed: Mapping[str, Callable[[], Iterable[Price]]] = NO_DEFAULTS,
    ) -> None:
        self.providers = Providers(providers)
        self.version = 1
        self.seq = 0
        self._plans = {plan.terms.name: plan for plan in plans}
        self.price_list = PriceList(listed)
        self.units = Units()
        self._variants: dict[tuple[str, str, str], Priced] = {}
        self._routes: dict[tuple[str, str | None, str | None, str | None], ResolvedModel] = {}
        for row in prices:
            self.price_list.put(row)

    def take(self, event: CatalogEvent, seq: int) -> None:
        """Let a stored change of the catalogue take effect.

        Raises:
            UnreadableEvent: it names what this version does not know.
        """
        try:
            self._take(event)
        except MISFITS as error:
            raise UnreadableEvent(KIND[type(event)], str(error), seq) from error
        self.seq = seq

    def _take(self, event: CatalogEvent) -> None:
        if isinstance(event, PlanPut):
            plan = Plan(event.terms, event.price_monthly_nano, event.price_yearly_nano)
            self._plans[event.terms.name] = plan
            self.version = event.terms.version
            return
        if isinstance(event, PriceCancelled):
            self.price_list.cancel(event.provider, event.model, event.variant, event.effective_from)
        elif isinstance(event, UnitPut | UnitArchived):
            self.units.take(event)
        elif isinstance(event, PricePut):
            self.price_list.put(price_of(event))
        elif isinstance(event, ProviderPut):
            self.providers.put(provider_of(event))
        else:
            self.providers.archive(event.id, event.version)
        self._routes.clear()
        self._variants.clear()
        self.version = event.version

    @property
    def plans(self) -> tuple[Plan, ...]:
        """All plans, in the order in which they were defined."""
        return tuple(self._plans.values())

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

    def price(self, provider: str, model: str, moment: int, variant: str = "") -> Priced:
        """The price of a model at a moment: its own row, else its provider's default one.

        If neither is valid at that moment, it is an estimate, or what the provider says is then.
        """
        found = self.price_list.find(provider, model, variant, moment)
        if found is not None:
            return found
        entry = self.providers.of_id(provider)
        policy = None if entry is None else entry.unpriced
        row = NO_CHARGE if policy == ZERO else ESTIMATE
        span = self.price_list.span(provider, moment)
        return Priced(row, "estimate", None, None, *span, refused=policy == REFUSE)

    def priced(self, route: ResolvedModel, moment: int, variant: str = "") -> Priced:
        """The price of a route at a moment; most are asked for within one span of moments."""
        if not variant:
            found = route.found
            if not found.since <= moment < found.until:
                found = route.found = self.price(route.provider, route.model, moment)
            return found
        names = (route.provider, route.model, variant)
        kept = self._variants.get(names)
        if kept is None or not kept.since <= moment < kept.until:
            kept = self.price(*names[:2], moment, variant)
            if sum([len(text) for text in names]) > ROUTE_CHARACTERS_MAX:
                return kept
            if len(self._variants) >= ROUTES_MAX:
                self._variants.clear()
            self._variants[names] = kept
        return kept

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
            detail = None if found.is_plain(provider) else detail_of(found, *names)
            text = False if detail is None else detail.text
            touch = touch_of(found.id, served, text=text)
            route = ResolvedModel(found.id, served, name, touch, found, detail)
            if sum([len(text) for text in names if text]) > ROUTE_CHARACTERS_MAX:
                return route
            if len(self._routes) >= ROUTES_MAX:
                self._routes.clear()  # an order of use would cost every call more than this
            self._routes[names] = route
        return route

    def limit_value(self, name: str, raw: msgspec.Raw, field: str) -> int:
        """The value of a limit as it was sent: a count, or nano-USD.

        Raises:
            InvalidRequest: there is no such limit, or it cannot have that value.
        """
        self._check_limit(name, field)
        if is_cost(name):
            amount = money_of(raw, field)
            if amount is None:
                raise InvalidRequest(f"{name} must be a number", field)
            return amount
        text = bytes(raw)
        if not text.isdigit() or len(text) > 15:
            raise InvalidRequest(f"{name} must be an integer from 0 to 10^15 - 1", field)
        return int(text)

    def override_value(self, name: str, raw: msgspec.Raw, field: str) -> int | None:
        """As `limit_value`, and None for null: the limit is lifted."""
        if bytes(raw) == b"null":
            self._check_limit(name, field)
            return None
        return self.limit_value(name, raw, field)

    def _check_limit(self, name: str, field: str) -> None:
        provider, _, unit = name.rpartition("_")
        known = name in {TEXT_CALLS, MONTHLY_COST} or (
            unit in _UNITS and self.providers.of_id(provider) is not None
        )
        if not known:
            hinted = self.providers.page(0, HINTED_MAX)
            names = [f"{known.id}_{unit}" for known in hinted for unit in _UNITS]
            similar = closest(name, (TEXT_CALLS, MONTHLY_COST, *names))
            raise InvalidRequest(f"there is no limit {name[:64]!r}{similar}", field)


def price_of(event: PricePut) -> Price:
    """The price of a stored change."""
    amounts = {dimension.price: getattr(event, dimension.price) for dimension in DIMENSIONS}
    return price(
        event.provider,
        event.model,
        amounts | event.parts,
        version=event.version,
        effective_from=event.effective_from,
        variant=event.variant,
        aliases=event.aliases,
        tiers=tuple([(tier.above, tier.amounts) for tier in event.tiers]),
        units={name: UnitPrice(*unit) for name, unit in event.units.items()},
        multipliers=event.multipliers,
    )


def is_cost(limit: str) -> bool:
    """Whether a limit of that name is an amount of money."""
    return limit.endswith("_cost")
