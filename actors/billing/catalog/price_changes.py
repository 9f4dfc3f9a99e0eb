"""Prices that are put and listed: contract, section 4. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any, Final

from actors.billing.catalog.catalog import Catalog, price_of
from actors.billing.catalog.names import alias_of, id_then
from actors.billing.catalog.pages import ENTRIES_MAX, Page, start_of
from actors.billing.catalog.prices import Price
from actors.billing.catalog.providers import Provider
from actors.billing.fingerprint import fingerprint
from messages.catalog import PriceEntry, PricePutReply, PricesList, PricesPut
from messages.codec import money_of
from messages.dimensions import DIMENSIONS
from messages.errors import InvalidRequest
from messages.stored.catalog import PricePut
from messages.units import PRICE_DECIMALS_MAX, to_datetime, to_micros

_FIRST: Final = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST: Final = to_micros(datetime.max.replace(tzinfo=UTC))
"""The moments that replies can show; an offset may lead out of the years of a request."""
PRICES_OF_MODEL_MAX: Final = 10_000
"""Prices of one model: one a day for 27 years."""
_TO_USD: Final = Decimal(-PRICE_DECIMALS_MAX)
_EXACT: Final = Context(prec=40)
_FIRST_DIMENSIONS: Final = 9
"""So many are in the digest of a price even if they are null: once there were no others."""


def put_price(catalog: Catalog, ask: PricesPut, at: int) -> PricePut:
    """A price from a moment on; charges that were made never change.

    Raises:
        RequestError: ``unknown_provider``, or ``invalid_request``: no price at all, one from the
            past for a model that has prices, whose events were charged by them, or one more for
            a model that has `PRICES_OF_MODEL_MAX`.
    """
    provider = _stored(catalog, ask.provider).id
    alias = alias_of(provider, ask.provider)
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
        alias=alias,
        **amounts,
    )


def content_of(ask: PricesPut, catalog: Catalog, then: PricePut | None = None) -> str:
    """The digest of a price that is put.

    Of a request that comes again its provider is what it was for its event, ``then``.
    """
    if then is not None:
        provider = id_then(ask.provider, then.provider, then.alias, catalog.providers)
    else:
        known = catalog.providers.get(ask.provider)
        provider = ask.provider if known is None else known.id
    since = None if ask.effective_from is None else to_micros(ask.effective_from)
    amounts = {
        name: amount
        for place, (name, amount) in enumerate(_amounts(ask).items())
        if place < _FIRST_DIMENSIONS or amount is not None
    }
    return fingerprint(PricesPut.__name__, [provider, ask.model, amounts, since])


def answered(event: PricePut, key: str, seq: int, *, duplicate: bool) -> PricePutReply:
    """The reply to a price that was put."""
    return PricePutReply(
        price=_entry(price_of(event)),
        version=event.version,
        event_id=key,
        duplicate=duplicate,
        seq=seq,
    )


def prices(catalog: Catalog, ask: PricesList) -> Page:
    """Prices by provider, model and moment behind a cursor.

    Raises:
        RequestError: ``unknown_provider``, or ``invalid_request`` for another's cursor.
    """
    provider = None if ask.provider is None else _stored(catalog, ask.provider).id
    digest, start = start_of(ask.cursor, [provider, ask.model])
    shown, more = catalog.price_list.page(provider, ask.model, start, ENTRIES_MAX)
    entries = map(_entry, shown)
    return Page(entries, len(shown), start, not more, digest, catalog.version, catalog.seq)


def _stored(catalog: Catalog, name: str) -> Provider:
    """The provider of a name: one that a call would be the first to name has no prices.

    Raises:
        RequestError: ``unknown_provider``.
    """
    provider = catalog.providers.get(name)
    if provider is None:
        raise catalog.providers.unknown(name)
    return provider


def _amounts(ask: PricesPut) -> dict[str, int | None]:
    return {
        dimension.price: money_of(getattr(ask, field), field, PRICE_DECIMALS_MAX)
        for dimension in DIMENSIONS
        for field in (dimension.cost_field,)
    }


def _entry(row: Price) -> PriceEntry:
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
