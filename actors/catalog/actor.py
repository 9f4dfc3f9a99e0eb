"""The actor of the catalogue: plans and prices are changed and read in order, as users are.

Its rows are those of a user without a name. What it decides on is ahead of the disk; what
prices and admits the users' calls, `ActorContext.catalog`, takes a change in when its row is
durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import structlog

from actors.billing.catalog import changes
from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.defaults import default_catalog
from actors.billing.idempotency import mismatch
from actors.catalog.users import list_users
from actors.persistent.actor import PersistentActor
from actors.persistent.context import ActorContext
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from actors.user.recovery import HISTORY_PAGE
from messages.catalog import (
    CATALOG_USER,
    EstimateCost,
    PlansList,
    PlansPut,
    PricesList,
    PricesPut,
    ProvidersList,
    UsersList,
)
from messages.codec import decode_catalog_event, encode_event
from messages.stored.errors import UnreadableEvent
from messages.stored.events import KIND, CatalogEvent
from persistence.errors import Corrupt
from persistence.records import Row

_log = structlog.get_logger(__name__)

PARTITION: Final = 0
"""Of the catalogue's rows, which no user's subject can name."""


class CatalogActor(PersistentActor):
    """The catalogue as of the newest row, and the requests on it."""

    def __init__(self, own: Catalog, context: ActorContext, at: int) -> None:
        super().__init__(context)
        self._own = own
        self._at = at

    @property
    def user(self) -> str:
        """See `PersistentActor`."""
        return CATALOG_USER

    @property
    def seq(self) -> int:
        """See `PersistentActor`."""
        return self._own.seq

    def take(self, request: Request, now: int) -> Detour | None:
        """See `PersistentActor`."""
        at = max(now, self._at)
        match request.command:
            case PlansPut() as ask:
                self._record(request, changes.put_plan(self._own, ask), at)
            case PricesPut() as ask:
                self._record(request, changes.put_price(self._own, ask, at), at)
            case UsersList() as ask:
                return Detour(partial(list_users, self.context, request, ask, at), blocks=False)
            case ask:
                size = self.context.page_bytes_max
                self._answer(request, _READS[type(ask)](self._own, ask, at, size))
        return None

    def original(self, request: Request, key: str, row: Row) -> bytes:
        """See `PersistentActor`."""
        event = decode_catalog_event(row.kind, row.body, row.seq)
        if changes.content_of(request.command, self._own) != event.content:
            raise mismatch(key)
        return changes.answer(event, key, row.seq, duplicate=True)

    def snapshot(self) -> bool:
        """The catalogue has none: its rows are few."""
        return False

    def _record(self, request: Request, event: CatalogEvent, at: int) -> None:
        context, key = self.context, request.key
        assert key is not None
        seq, body = context.writer.next_seq, encode_event(event)
        request.payload = changes.answer(event, key, seq)
        self._own.take(event, seq)
        self._at = at
        row = Row(seq, PARTITION, CATALOG_USER, key, KIND[type(event)], at, False, body, None)
        # In this order: when the caller is told, calls are priced by it.
        context.writer.append([row], _Effect(context.catalog, event, seq))
        context.writer.after(seq, request)

    def _answer(self, request: Request, reply: object) -> None:
        request.prepare(reply)
        self.context.writer.after(self._own.seq, request)


class _Effect:
    """Lets a change of the catalogue take effect when its row is durable."""

    def __init__(self, catalog: Catalog, event: CatalogEvent, seq: int) -> None:
        self._catalog = catalog
        self._event = event
        self._seq = seq

    def durable(self) -> None:
        self._catalog.take(self._event, self._seq)

    def lost(self, *, unknown: bool) -> None:
        """Nothing has changed; what is stored all the same is found by `recover_catalog`."""


_READS: Final[Mapping[type, Callable[[Catalog, Any, int, int], object]]] = {
    PlansList: lambda catalog, ask, _at, size: changes.plans(catalog, ask, size),
    PricesList: lambda catalog, ask, _at, size: changes.prices(catalog, ask, size),
    ProvidersList: lambda catalog, _ask, _at, _size: changes.providers(catalog),
    EstimateCost: lambda catalog, ask, at, _size: changes.estimate(catalog, ask, at),
}


async def recover_catalog(context: ActorContext) -> CatalogActor:
    """Load the catalogue from its rows, and have `ActorContext.catalog` take in what it lacks.

    Raises:
        Unavailable: the log cannot be read now.
        Corrupt: a row cannot be read.
    """
    own, at = default_catalog(), 0
    while True:
        rows = await context.queries.history(CATALOG_USER, own.seq, HISTORY_PAGE)
        for row in rows:
            try:
                event = decode_catalog_event(row.kind, row.body, row.seq)
                own.take(event, row.seq)
                if row.seq > context.catalog.seq:
                    context.catalog.take(event, row.seq)
            except UnreadableEvent as error:
                raise Corrupt(str(error)) from error
            at = row.at
        if len(rows) < HISTORY_PAGE:
            return CatalogActor(own, context, at)
