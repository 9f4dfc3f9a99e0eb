"""Decide and answer what is asked of the catalogue: contract, section 4. Pure.

A plan or a price that is put is a stored event; each has a version of its own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal
from hashlib import blake2b
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from actors.billing.catalog.catalog import Catalog, Plan, is_cost, price_of
from actors.billing.catalog.prices import INPUT, Price, charge
from messages.catalog import (
    EstimateCost,
    EstimateReply,
    PlanEntry,
    PlanPutReply,
    PlansList,
    PlansPut,
    PlansReply,
    PriceEntry,
    PricePutReply,
    PricesList,
    PricesPut,
    PricesReply,
    ProviderEntry,
    ProvidersReply,
)
from messages.codec import encode_reply, money_of
from messages.dimensions import COUNT_FIELDS, DIMENSIONS
from messages.errors import InvalidRequest
from messages.stored.events import CatalogEvent, PlanPut, PlanTerms, PricePut
from messages.units import PRICE_DECIMALS_MAX, to_datetime, to_micros, usd

_FIRST: Final = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST: Final = to_micros(datetime.max.replace(tzinfo=UTC))
"""The moments that replies can show; an offset may lead out of the years of a request."""
PRICES_OF_MODEL_MAX: Final = 10_000
"""Prices of one model: one a day for 27 years."""
ENTRIES_MAX: Final = 4_096
"""Entries that a page looks at: more of the shortest do not fit into a reply."""
_TO_USD: Final = Decimal(-PRICE_DECIMALS_MAX)
_EXACT: Final = Context(prec=40)
_FIRST_DIMENSIONS: Final = 9
"""So many are in the digest of a price even if they are null: once there were no others."""
_T = TypeVar("_T")


def put_plan(catalog: Catalog, ask: PlansPut) -> PlanPut:
    """A new version of a plan.

    Raises:
        InvalidRequest: an unknown limit, an invalid amount, or another tier.
    """
    known = catalog.plan(ask.name)
    if known is not None and known.terms.name == ask.name and known.terms.tier != ask.tier:
        raise InvalidRequest(f"the plan {ask.name[:64]!r} is of tier {known.terms.tier!r}", "tier")
    limits = tuple(
        (name, catalog.limit_value(name, raw, "limits")) for name, raw in ask.limits.items()
    )
    terms = PlanTerms(ask.name, ask.tier, catalog.version + 1, limits, tuple(ask.features))
    return PlanPut(
        terms=terms,
        price_monthly_nano=_required(ask.price_monthly, "price_monthly"),
        price_yearly_nano=_required(ask.price_yearly, "price_yearly"),
        content=content_of(ask, catalog),
    )


def put_price(catalog: Catalog, ask: PricesPut, at: int) -> PricePut:
    """A price from a moment on; charges that were made never change.

    Raises:
        RequestError: ``unknown_provider``, or ``invalid_request``: no price at all, one from the
            past for a model that has prices, whose events were charged by them, or one more for
            a model that has `PRICES_OF_MODEL_MAX`.
    """
    provider = catalog.providers.find(ask.provider).name
    since = at if ask.effective_from is None else to_micros(ask.effective_from)
    if not _FIRST <= since <= _LAST:
        raise InvalidRequest(
            "effective_from is not of the years 1 to 9999 in UTC", "effective_from"
        )
    known = catalog.price_list.count(provider, ask.model)
    if known >= PRICES_OF_MODEL_MAX:
        raise InvalidRequest(
            f"the model has {PRICES_OF_MODEL_MAX:,} prices, which is the most", "model"
        )
    if since < at and known:
        raise InvalidRequest(
            "effective_from is in the past, and the model had a price then", "effective_from"
        )
    amounts = _amounts(ask)
    if not any(amount is not None for amount in amounts.values()):
        raise InvalidRequest("a price needs at least one cost", "cost_per_input_token")
    return PricePut(
        provider=provider,
        model=ask.model,
        version=catalog.version + 1,
        effective_from=since,
        content=content_of(ask, catalog),
        **amounts,
    )


def content_of(ask: PlansPut | PricesPut, catalog: Catalog) -> str:
    """The digest of a change: see `contents`."""
    if isinstance(ask, PlansPut):
        limits = {name: _plain(raw) for name, raw in sorted(ask.limits.items())}
        prices = [_plain(ask.price_monthly), _plain(ask.price_yearly)]
        parts: list[Any] = [ask.name, ask.tier, prices, limits, ask.features]
    else:
        names = {known.name: known.name for known in catalog.providers.all}
        aliases = {alias: p.name for p in catalog.providers.all for alias in p.aliases}
        provider = (names | aliases).get(ask.provider, ask.provider)
        since = None if ask.effective_from is None else to_micros(ask.effective_from)
        amounts = {
            name: amount
            for place, (name, amount) in enumerate(_amounts(ask).items())
            if place < _FIRST_DIMENSIONS or amount is not None
        }
        parts = [provider, ask.model, amounts, since]
    source = msgspec.json.encode([type(ask).__name__, parts])
    return blake2b(source, digest_size=12).hexdigest()


def answer(event: CatalogEvent, key: str, seq: int, *, duplicate: bool = False) -> bytes:
    """The encoded reply of a change, now or when its key comes again."""
    if isinstance(event, PlanPut):
        plan = Plan(event.terms, event.price_monthly_nano, event.price_yearly_nano)
        return encode_reply(
            PlanPutReply(
                plan=_plan_entry(plan),
                version=event.terms.version,
                event_id=key,
                duplicate=duplicate,
                seq=seq,
            )
        )
    return encode_reply(
        PricePutReply(
            price=_price_entry(price_of(event)),
            version=event.version,
            event_id=key,
            duplicate=duplicate,
            seq=seq,
        )
    )


@dataclass(frozen=True, slots=True)
class Page:
    """A page of plans or prices, before as many entries as fit are shown.

    Attributes:
        entries: to be shown, made as they are asked for.
        count: how many they are.
        start: how many are on the pages before.
        last: whether there are no others behind them.
        digest: of the filters, which a cursor is bound to.
        version, seq: of the catalogue.
    """

    entries: Iterator[PlanEntry | PriceEntry]
    count: int
    start: int
    last: bool
    digest: str
    version: int
    seq: int

    def reply(self, shown: Sequence[msgspec.Raw], reply: type[PlansReply | PricesReply]) -> Struct:
        """The reply that shows this many entries, which are encoded."""
        cursor = None
        if len(shown) < self.count or not self.last:
            cursor = cursor_of(str(self.start + len(shown)), self.digest)
        field = "plans" if reply is PlansReply else "prices"
        fields: dict[str, Any] = {field: tuple(shown), "next_cursor": cursor}
        return reply(**fields, version=self.version, seq=self.seq)


def plans(catalog: Catalog, ask: PlansList) -> Page:
    """All plans behind a cursor.

    Raises:
        InvalidRequest: the cursor of another list.
    """
    digest, start = _where(ask.cursor, "plans")
    shown = catalog.plans[start : start + ENTRIES_MAX]
    last = start + len(shown) >= len(catalog.plans)
    entries = map(_plan_entry, shown)
    return Page(entries, len(shown), start, last, digest, catalog.version, catalog.seq)


def prices(catalog: Catalog, ask: PricesList) -> Page:
    """Prices by provider, model and moment behind a cursor.

    Raises:
        RequestError: ``unknown_provider``, or ``invalid_request`` for another's cursor.
    """
    provider = None if ask.provider is None else catalog.providers.find(ask.provider).name
    digest, start = _where(ask.cursor, [provider, ask.model])
    shown, more = catalog.price_list.page(provider, ask.model, start, ENTRIES_MAX)
    entries = map(_price_entry, shown)
    return Page(entries, len(shown), start, not more, digest, catalog.version, catalog.seq)


def providers(catalog: Catalog) -> ProvidersReply:
    """All providers."""
    return ProvidersReply(
        providers=tuple(
            ProviderEntry(
                name=provider.name,
                kind=provider.kind,
                default_model=provider.default_model,
                aliases=provider.aliases,
            )
            for provider in catalog.providers.all
        ),
        version=catalog.version,
        seq=catalog.seq,
    )


def estimate(catalog: Catalog, ask: EstimateCost, at: int) -> EstimateReply:
    """What a call would cost now; words x 1.3, rounded down, are the input tokens of a text.

    Raises:
        RequestError: ``unknown_provider``.
    """
    provider = catalog.providers.find(ask.provider)
    model = ask.model_used or provider.default_model
    tokens_input = (ask.tokens_input or 0) + len((ask.text or "").split()) * 13 // 10
    said = [getattr(ask, field, None) for field in COUNT_FIELDS]  # parts it does not take
    said[INPUT] = tokens_input
    found = catalog.price(provider.name, model, at)
    cost, cost_input, cost_output = charge(found.price, tuple(said))
    return EstimateReply(
        cost=usd(cost),
        cost_input=usd(cost_input),
        cost_output=usd(cost_output),
        tokens_input=tokens_input,
        tokens_output=ask.tokens_output or 0,
        priced=found.how,
        seq=catalog.seq,
    )


def cursor_of(position: str, digest: str) -> str:
    """An opaque cursor, bound to its filters by their digest."""
    return base64.urlsafe_b64encode(f"{digest}:{position}".encode()).decode().rstrip("=")


def read_cursor(cursor: str, digest: str, kind: Callable[[str], _T]) -> _T:
    """The position that a cursor goes on from.

    Raises:
        InvalidRequest: not a cursor, or one of other filters.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        own, _, position = base64.b64decode(padded, b"-_", validate=True).decode().partition(":")
        found = kind(position)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise InvalidRequest("cursor is not one of meterd's", "cursor") from None
    if own != digest:
        raise InvalidRequest("cursor belongs to a request with other filters", "cursor")
    return found


def _where(cursor: str | None, filters: object) -> tuple[str, int]:
    """The digest of the filters, and how many entries are before the page."""
    digest = blake2b(msgspec.json.encode(filters), digest_size=6).hexdigest()
    return digest, max(read_cursor(cursor, digest, int), 0) if cursor else 0


def _required(raw: msgspec.Raw, field: str) -> int:
    amount = money_of(raw, field)
    if amount is None:
        raise InvalidRequest(f"{field} must be a number", field)
    return amount


def _amounts(ask: PricesPut) -> dict[str, int | None]:
    return {
        dimension.price: money_of(getattr(ask, field), field, PRICE_DECIMALS_MAX)
        for dimension in DIMENSIONS
        for field in (dimension.cost_field,)
    }


def _plain(raw: msgspec.Raw) -> Any:
    """A number's value, whatever way it was written; what is no text cannot be stored."""
    try:
        return money_of(raw, "")
    except InvalidRequest:
        return bytes(raw).decode(errors="replace")


def _plan_entry(plan: Plan) -> PlanEntry:
    terms = plan.terms
    return PlanEntry(
        name=terms.name,
        tier=terms.tier,
        price_monthly=usd(plan.price_monthly_nano),
        price_yearly=usd(plan.price_yearly_nano),
        limits={name: usd(value) if is_cost(name) else value for name, value in terms.limits},
        features=terms.features,
        version=terms.version,
    )


def _price_entry(row: Price) -> PriceEntry:
    costs: dict[str, Any] = {
        dimension.cost_field: _pico(amount)
        for dimension, amount in zip(DIMENSIONS, row.rates.amounts, strict=True)
    }
    return PriceEntry(
        provider=row.provider,
        model=row.model,
        **costs,
        effective_from=to_datetime(row.effective_from),
        version=row.version,
    )


def _pico(amount: int | None) -> Decimal | None:
    return None if amount is None else _EXACT.scaleb(amount, _TO_USD)
