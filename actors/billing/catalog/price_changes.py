"""Prices that are put, taken back and listed: contract, section 4, and 1.1, section 4. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from actors.billing.catalog.catalog import Catalog, price_of
from actors.billing.catalog.names import alias_of, id_then
from actors.billing.catalog.pages import ENTRIES_MAX, Page, start_of
from actors.billing.catalog.price_forms import Row, entry_of, row_of
from actors.billing.catalog.providers import Provider
from actors.billing.fingerprint import fingerprint
from messages.dimensions import DIMENSIONS
from messages.errors import InvalidRequest, RequestError
from messages.prices import (
    PriceCancelReply,
    PricePutReply,
    PricesCancel,
    PricesList,
    PricesPut,
)
from messages.stored.catalog import PriceCancelled, PricePut
from messages.units import to_datetime, to_micros

_FIRST: Final = to_micros(datetime.min.replace(tzinfo=UTC))
_LAST: Final = to_micros(datetime.max.replace(tzinfo=UTC))
"""The moments that replies can show; an offset may lead out of the years of a request."""
PRICES_OF_MODEL_MAX: Final = 10_000
"""Prices of one variant of a model: one a day for 27 years."""
_FIRST_DIMENSIONS: Final = 9
"""So many are in the digest of a price even if they are null: once there were no others."""


def put_price(catalog: Catalog, ask: PricesPut, at: int) -> PricePut:
    """A price from a moment on; charges that were made never change.

    Raises:
        RequestError: ``unknown_provider``, ``unknown_unit``, or ``invalid_request``: no price at
            all, one from the past where the variant had a price, whose events were charged by it,
            one more for a variant that has `PRICES_OF_MODEL_MAX`, or an alias that another model
            has.
    """
    provider = _stored(catalog, ask.provider).id
    alias = alias_of(provider, ask.provider)
    since = at if ask.effective_from is None else to_micros(ask.effective_from)
    if not _FIRST <= since <= _LAST:
        raise InvalidRequest(
            "effective_from is not of the years 1 to 9999 in UTC", "effective_from"
        )
    row = row_of(ask)
    _check_place(catalog, provider, ask.model, row.variant, since, at)
    if not row.amounts and not row.units and not row.tiers:
        raise InvalidRequest("a price needs at least one cost", "cost_per_input_token")
    _check_aliases(catalog, provider, ask.model, row, at)
    for name in row.units:
        catalog.units.find(name, "units")
    return PricePut(
        provider=provider,
        model=ask.model,
        version=catalog.version + 1,
        effective_from=since,
        content=content_of(ask, catalog),
        variant=row.variant,
        **{own.price: row.amounts.get(own.price) for own in DIMENSIONS},
        parts={name: row.amounts[name] for name in row.parts},
        tiers=row.tiers,
        units=row.units,
        multipliers=row.multipliers,
        aliases=row.aliases,
        alias=alias,
    )


def _check_place(
    catalog: Catalog, provider: str, model: str, variant: str, since: int, at: int
) -> None:
    """Refuse a row where it cannot be.

    Raises:
        InvalidRequest: naming ``model`` or ``effective_from``.
    """
    if catalog.price_list.count(provider, model, variant) >= PRICES_OF_MODEL_MAX:
        raise InvalidRequest(
            f"the model has {PRICES_OF_MODEL_MAX:,} prices, which is the most", "model"
        )
    if since < at and catalog.price_list.at(provider, model, since, variant) is not None:
        raise InvalidRequest(
            "effective_from is in the past, and the model had a price then", "effective_from"
        )


def _check_aliases(catalog: Catalog, provider: str, model: str, row: Row, at: int) -> None:
    """Refuse an alias that another model of the provider has.

    Raises:
        InvalidRequest: naming ``aliases``.
    """
    if row.aliases and row.variant:
        raise InvalidRequest("a variant has no aliases of its own", "aliases")
    for name in row.aliases:
        owner = catalog.price_list.alias_owner(provider, name, at)
        if owner is not None and owner != model:
            raise InvalidRequest(
                f"{name[:64]!r} is an alias of the model {owner[:64]!r} already", "aliases"
            )


def cancel_price(catalog: Catalog, ask: PricesCancel, at: int) -> PriceCancelled:
    """Take back a price that is not in force yet.

    Raises:
        RequestError: ``unknown_provider``, ``unknown_price``: there is none from that moment on;
            or ``invalid_request``: it is in force, or was.
    """
    provider = _stored(catalog, ask.provider).id
    since, variant = to_micros(ask.effective_from), ask.variant or ""
    row = catalog.price_list.at(provider, ask.model, since, variant)
    if row is None or row.effective_from != since:
        raise RequestError(
            "unknown_price", "there is no price from that moment on", field="effective_from"
        )
    if since <= at:
        raise InvalidRequest("the price is in force, or was", "effective_from")
    return PriceCancelled(
        provider=provider,
        model=ask.model,
        version=catalog.version + 1,
        effective_from=since,
        cancelled=row.version,
        content=cancel_content(ask, catalog),
        variant=variant,
        alias=alias_of(provider, ask.provider),
    )


def content_of(ask: PricesPut, catalog: Catalog, then: PricePut | None = None) -> str:
    """The digest of a price that is put; of what came later only what is said is in it.

    Of a request that comes again its provider is what it was for its event, ``then``.
    """
    row = row_of(ask)
    since = None if ask.effective_from is None else to_micros(ask.effective_from)
    amounts = {
        own.price: row.amounts.get(own.price)
        for place, own in enumerate(DIMENSIONS)
        if place < _FIRST_DIMENSIONS or own.price in row.amounts
    }
    parts: list[Any] = [_then(ask.provider, catalog, then), ask.model, amounts, since]
    further = row.further()
    if further:
        parts.append(further)
    return fingerprint(PricesPut.__name__, parts)


def cancel_content(ask: PricesCancel, catalog: Catalog, then: PriceCancelled | None = None) -> str:
    """The digest of a price that is taken back; ``then`` as in `content_of`."""
    parts = [_then(ask.provider, catalog, then), ask.model, ask.variant or ""]
    return fingerprint(PricesCancel.__name__, [*parts, to_micros(ask.effective_from)])


def _then(name: str, catalog: Catalog, event: PricePut | PriceCancelled | None) -> str:
    """The id of a provider as it was for an event, else as it is; the name if there is none."""
    if event is not None:
        return id_then(name, event.provider, event.alias, catalog.providers)
    known = catalog.providers.get(name)
    return name if known is None else known.id


def answered(event: PricePut, key: str, seq: int, *, duplicate: bool) -> PricePutReply:
    """The reply to a price that was put."""
    return PricePutReply(
        price=entry_of(price_of(event)),
        version=event.version,
        event_id=key,
        duplicate=duplicate,
        seq=seq,
    )


def cancelled(event: PriceCancelled, key: str, seq: int, *, duplicate: bool) -> PriceCancelReply:
    """The reply to a price that was taken back."""
    return PriceCancelReply(
        provider=event.provider,
        model=event.model,
        variant=event.variant,
        effective_from=to_datetime(event.effective_from),
        version=event.version,
        event_id=key,
        duplicate=duplicate,
        seq=seq,
    )


def prices(catalog: Catalog, ask: PricesList) -> Page:
    """Prices by provider, model, variant and moment behind a cursor.

    Raises:
        RequestError: ``unknown_provider``, or ``invalid_request`` for another's cursor.
    """
    provider = None if ask.provider is None else _stored(catalog, ask.provider).id
    digest, start = start_of(ask.cursor, [provider, ask.model])
    shown, more = catalog.price_list.page(provider, ask.model, start, ENTRIES_MAX)
    entries = map(entry_of, shown)
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
