"""The log's lines about changes that a person made: each once, when it is durable.

A repeated request appends nothing, so it has no line here. No line has a text that somebody wrote
(the reason of a reset, say): it may name a person.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import structlog

from messages.codec import decode_event
from messages.stored.catalog import (
    CatalogEvent,
    PlanPut,
    PriceCancelled,
    ProviderArchived,
    ProviderPut,
    UnitArchived,
    UnitPut,
)
from messages.stored.events import (
    KIND,
    CountersReset,
    Subscribed,
    SubscriptionChanged,
)
from messages.units import to_datetime
from persistence.records import Row

_KINDS: Final = frozenset(KIND[kind] for kind in (CountersReset, Subscribed, SubscriptionChanged))

_log = structlog.get_logger(__name__)


def tell_of_users(rows: Iterable[Row]) -> None:
    """Tell of what was done to users, of the durable rows that have something to publish."""
    for row in rows:
        if row.kind not in _KINDS:
            continue
        event = decode_event(row.kind, row.body, row.seq)  # it was encoded just now
        match event:
            case CountersReset():
                period = event.billing_period
                _log.info("usage_reset", user=row.user, billing_period=period, seq=row.seq)
            case Subscribed():
                _log.info(
                    "subscribed",
                    user=row.user,
                    plan=event.subscription.plan,
                    billing_cycle=event.subscription.billing_cycle,
                    previous=event.previous,
                    seq=row.seq,
                )
            case SubscriptionChanged():
                _log.info("subscription_changed", user=row.user, change=event.change, seq=row.seq)


def tell_of_catalog(event: CatalogEvent, seq: int) -> None:
    """Tell of a durable change of the catalogue."""
    if isinstance(event, PlanPut):
        terms = event.terms
        _log.info("plan_put", plan=terms.name, version=terms.version, seq=seq)
    elif isinstance(event, PriceCancelled):
        _log.info(
            "price_cancelled",
            provider=event.provider,
            model=event.model,
            version=event.version,
            effective_from=to_datetime(event.effective_from).isoformat(),
            seq=seq,
        )
    elif isinstance(event, UnitPut):
        _log.info("unit_put", unit=event.id, scale=event.scale, version=event.version, seq=seq)
    elif isinstance(event, UnitArchived):
        _log.info("unit_archived", unit=event.id, version=event.version, seq=seq)
    elif isinstance(event, ProviderPut):
        if event.registered:
            _log.info("provider_registered", provider=event.id, version=event.version, seq=seq)
        else:
            _log.info("provider_put", provider=event.id, version=event.version, seq=seq)
    elif isinstance(event, ProviderArchived):
        _log.info("provider_archived", provider=event.id, version=event.version, seq=seq)
    else:
        _log.info(
            "price_put",
            provider=event.provider,
            model=event.model,
            version=event.version,
            effective_from=to_datetime(event.effective_from).isoformat(),
            seq=seq,
        )
