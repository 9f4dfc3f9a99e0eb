"""What changes the catalogue: one record for each, by its command and by its event. Pure.

Each change is a stored event with a version of its own; its rules stand in the module of its
thing: `plan_changes`, `price_changes`, `provider_changes`, `unit_changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from actors.billing.catalog import (
    plan_changes,
    price_changes,
    provider_changes,
    unit_changes,
)
from actors.billing.catalog.catalog import Catalog
from messages.catalog import (
    PlansPut,
    ProvidersArchive,
    ProvidersPut,
    UnitsArchive,
    UnitsPut,
)
from messages.codec import encode_reply
from messages.prices import (
    PricesCancel,
    PricesPut,
)
from messages.stored.catalog import (
    CatalogEvent,
    PlanPut,
    PriceCancelled,
    PricePut,
    ProviderArchived,
    ProviderPut,
    UnitArchived,
    UnitPut,
)


class CatalogChange(NamedTuple):
    """All that the actor of the catalogue knows of a verb that changes it.

    Attributes:
        event: what is stored.
        decide: the event that a request comes to, by the catalogue and the clock. Raises
            `RequestError` if it is refused.
        content: what a request asks for, by the catalogue and the event, of its kind, that its
            key has: as that event's ``content`` if they are the same.
        answered: the reply, of the event, its key and its position.
    """

    event: type[CatalogEvent]
    decide: Callable[[Catalog, Any, int], CatalogEvent]
    content: Callable[[Any, Catalog, Any], str]
    answered: Callable[..., Any]


CHANGES: Final[Mapping[type, CatalogChange]] = {
    PlansPut: CatalogChange(
        PlanPut,
        lambda catalog, ask, _: plan_changes.put_plan(catalog, ask),
        lambda ask, *_: plan_changes.content_of(ask),
        plan_changes.answered,
    ),
    PricesPut: CatalogChange(
        PricePut,
        price_changes.put_price,
        price_changes.content_of,
        price_changes.answered,
    ),
    PricesCancel: CatalogChange(
        PriceCancelled,
        price_changes.cancel_price,
        price_changes.cancel_content,
        price_changes.cancelled,
    ),
    UnitsPut: CatalogChange(
        UnitPut,
        lambda catalog, ask, _: unit_changes.put_unit(catalog, ask),
        lambda ask, *_: unit_changes.content_of_put(ask),
        unit_changes.answered,
    ),
    UnitsArchive: CatalogChange(
        UnitArchived,
        lambda catalog, ask, _: unit_changes.archive_unit(catalog, ask),
        lambda ask, *_: unit_changes.content_of_archive(ask),
        unit_changes.answered,
    ),
    ProvidersPut: CatalogChange(
        ProviderPut,
        lambda catalog, ask, _: provider_changes.put_provider(catalog, ask),
        lambda ask, *_: provider_changes.content_of(ask),
        provider_changes.answered,
    ),
    ProvidersArchive: CatalogChange(
        ProviderArchived,
        lambda catalog, ask, _: provider_changes.archive_provider(catalog, ask),
        lambda ask, *_: provider_changes.content_of_archiving(ask),
        provider_changes.archived,
    ),
}
"""By the command that asks for it."""
_ANSWERED: Final = {change.event: change.answered for change in CHANGES.values()}


def is_same(ask: Any, event: CatalogEvent, catalog: Catalog) -> bool:
    """Whether a request with the key of an event asks for what that records.

    Raises:
        RequestError: the request is invalid.
    """
    change = CHANGES[type(ask)]
    return isinstance(event, change.event) and change.content(ask, catalog, event) == event.content


def answer(event: CatalogEvent, key: str, seq: int, *, duplicate: bool = False) -> bytes:
    """The encoded reply of a change, now or when its key comes again."""
    return encode_reply(_ANSWERED[type(event)](event, key, seq, duplicate=duplicate))
