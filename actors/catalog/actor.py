"""The actor of the catalogue: plans and prices are changed and read in order, as users are.

Its rows are those of a user without a name. What it decides on is ahead of the disk; what
prices and admits the users' calls, `ActorContext.catalog`, takes a change in when its row is
durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from actors.billing.catalog import (
    changes,
    plan_changes,
    price_changes,
    provider_changes,
    unit_changes,
)
from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.defaults import default_catalog
from actors.billing.catalog.estimates import estimate
from actors.billing.catalog.pages import Page, PageReply
from actors.billing.idempotency import mismatch
from actors.catalog.pages import show
from actors.catalog.unpriced import list_unpriced
from actors.catalog.users import list_users
from actors.persistent.actor import PersistentActor
from actors.persistent.administration import tell_of_catalog
from actors.persistent.context import ActorContext
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from actors.user.recovery import HISTORY_PAGE
from messages.catalog import (
    CATALOG_USER,
    PlansList,
    PlansReply,
    ProvidersList,
    ProvidersReply,
    UnitsList,
    UsersList,
)
from messages.codec import decode_catalog_event, encode_event
from messages.control import Register
from messages.prices import (
    EstimateCost,
    PricesCancel,
    PricesList,
    PricesPut,
    PricesReply,
    PricesUnpriced,
)
from messages.stored.catalog import CatalogEvent, PricePut
from messages.stored.errors import UnreadableEvent, made_of
from messages.stored.events import (
    KIND,
)
from persistence.damage import damaged_of
from persistence.errors import BeingMade
from persistence.records import Row

_OF_PRICES: Final = (PricesList, PricesPut, PricesCancel, EstimateCost)
"""What is asked of the prices of one provider, or of all."""
PARTITION: Final = 0
"""Of the catalogue's rows, which no user's subject can name."""
LOADED_PER_TURN: Final = 8
"""Rows that take effect before the loop gets a turn."""


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
        if isinstance(request.command, _OF_PRICES):
            name = request.command.provider
            found = None if name is None else self._own.providers.get(name)
            provider = None if found is None else found.id
            if (name is None or found is not None) and not self._own.price_list.is_made(provider):
                return Detour(partial(self._make, provider), blocks=True)
        return self._take(request, now)

    def _take(self, request: Request, now: int) -> Detour | None:
        """Take one request, when the default prices that it needs are made.

        The rows are in order of time, but prices are in force by the clock, whatever it showed
        before.
        """
        at = max(now, self._at)
        match request.command:
            case UsersList() as ask:
                return Detour(partial(list_users, self.context, request, ask, now), blocks=False)
            case PricesUnpriced() as ask:
                return Detour(partial(list_unpriced, self.context, request, ask), blocks=False)
            case PlansList() as ask:
                return self._show(request, plan_changes.plans(self._own, ask), PlansReply)
            case PricesList() as ask:
                return self._show(request, price_changes.prices(self._own, ask), PricesReply)
            case ProvidersList() as ask:
                return self._show(
                    request, provider_changes.providers(self._own, ask), ProvidersReply
                )
            case Register() as ask:
                self._register(request, ask, at)
            case ask if (change := changes.CHANGES.get(type(ask))) is not None:
                self._record(request, change.decide(self._own, ask, now), at)
            case ask:
                self._answer(request, _READS[type(ask)](self._own, ask, now))
        return None

    def original(self, request: Request, key: str, row: Row) -> bytes:
        """See `PersistentActor`."""
        with made_of(row.kind, row.seq):
            event = decode_catalog_event(row.kind, row.body, row.seq)
            if not changes.is_same(request.command, event, self._own):
                raise mismatch(key)
            return changes.answer(event, key, row.seq, duplicate=True)

    def weight(self) -> int:
        """It is never passivated, so it does not count."""
        return 0

    def snapshot(self) -> bool:
        """The catalogue has none: its state is that of its rows."""
        return False

    def _record(self, request: Request, event: CatalogEvent, at: int) -> None:
        context, key = self.context, request.key
        assert key is not None
        request.payload = changes.answer(event, key, context.writer.next_seq)
        self._append([event], key, at)
        context.writer.after(self._own.seq, request)

    def _register(self, request: Request, ask: Register, at: int) -> None:
        """Store providers because calls name them; whoever asks is told when they are durable."""
        events = provider_changes.registered(self._own, ask.providers)
        if events:
            self._append(events, None, at)
        request.payload = b"{}"
        self.context.writer.after(self._own.seq, request)

    def _append(self, events: Sequence[CatalogEvent], key: str | None, at: int) -> None:
        context, rows = self.context, list[Row]()
        for seq, event in enumerate(events, context.writer.next_seq):
            kind, body = KIND[type(event)], encode_event(event)
            self._own.take(event, seq)
            rows.append(Row(seq, PARTITION, CATALOG_USER, key, kind, at, False, body, None))
        self._at = at
        # In this order: when the caller is told, calls are priced by it.
        context.writer.append(rows, _Effect(context.catalog, events, self._own.seq))

    async def _make(self, provider: str | None) -> bool:
        """Make the default prices of a provider, or all; the request is handled again then."""
        await _ready(provider, self._own, self.context.catalog)
        return True

    def _show(self, request: Request, page: Page, reply: PageReply) -> Detour:
        flushed = self.context.writer.flushed()  # as of now: what the page shows may be lost
        bytes_max = self.context.page_bytes_max
        return Detour(partial(show, request, page, reply, flushed, bytes_max), blocks=False)

    def _answer(self, request: Request, reply: object) -> None:
        request.prepare(reply)
        self.context.writer.after(self._own.seq, request)


class _Effect:
    """Lets changes of the catalogue take effect when their rows are durable; ``last`` is theirs."""

    def __init__(self, catalog: Catalog, events: Sequence[CatalogEvent], last: int) -> None:
        self._catalog = catalog
        self._events = events
        self._last = last

    def durable(self) -> None:
        for seq, event in enumerate(self._events, self._last + 1 - len(self._events)):
            self._catalog.take(event, seq)
            tell_of_catalog(event, seq)

    def lost(self, *, unknown: bool) -> None:
        """Nothing has changed; what is stored all the same is found by `recover_catalog`."""


_READS: Final[Mapping[type, Callable[[Catalog, Any, int], object]]] = {
    UnitsList: lambda catalog, _ask, _at: unit_changes.units(catalog),
    EstimateCost: estimate,
}


async def await_catalog(context: ActorContext) -> None:
    """Have `ActorContext.catalog` take in all rows at a start; raises as `recover_catalog`.

    If the index is made anew just now, it waits for that: nothing is priced before.
    """
    while True:
        try:
            await recover_catalog(context)
        except BeingMade as error:
            await asyncio.sleep(error.retry_s)
        else:
            return


async def recover_catalog(context: ActorContext) -> CatalogActor:
    """Load the catalogue from its rows, and have `ActorContext.catalog` take in what it lacks.

    Raises:
        BeingMade: the index is made anew just now.
        Unavailable: the log cannot be read now.
        Damaged: a row cannot be read. Nothing is priced without it, so a start ends with it.
    """
    own, at = default_catalog(), 0
    own.providers.registers = context.catalog.providers.registers
    while True:
        rows = await context.queries.history(CATALOG_USER, own.seq, HISTORY_PAGE)
        for count, row in enumerate(rows, 1):
            if count % LOADED_PER_TURN == 0:
                await asyncio.sleep(0)
            try:
                event = decode_catalog_event(row.kind, row.body, row.seq)
                if isinstance(event, PricePut):
                    await _ready(event.provider, own, context.catalog)
                own.take(event, row.seq)
                if row.seq > context.catalog.seq:
                    context.catalog.take(event, row.seq)
            except UnreadableEvent as error:
                raise damaged_of(error) from error
            at = row.at
        if len(rows) < HISTORY_PAGE:
            return CatalogActor(own, context, at)


async def _ready(provider: str | None, *catalogs: Catalog) -> None:
    """Make what catalogues have of a provider, or of all, from the beginning, in turns."""
    for catalog in catalogs:
        for _ in catalog.price_list.making(provider):
            await asyncio.sleep(0)
