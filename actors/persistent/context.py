"""What all actors of a process share."""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from actors.billing.catalog.catalog import Catalog
from actors.billing.reports.usage_log import PAGE_BYTES_MAX
from actors.billing.state.account import Account
from actors.billing.state.headroom import Headrooms
from actors.billing.usage.privacy import Privacy
from actors.persistent.timeline import Timeline
from persistence.journal import LogQueries, Retention
from persistence.key_filter import KeyFilter
from persistence.writer import Writer


async def _register_none(_: Sequence[str]) -> None:
    """Store none: no actor of the catalogue is there."""


@dataclass(slots=True)
class ActorContext:
    """What all actors share.

    ``page_bytes_max`` is what a page of a reply may have; it follows the connection.
    ``headrooms`` are those that were asked for last.
    ``privacy`` has the rules for personal fields, None if all are kept as they come.
    ``register`` has providers stored that calls name and the catalogue lacks, as far as they may
    be; when it is done, the catalogue has them. Raises `RequestError`.
    ``looking_for_unpriced`` is held by the one who looks at all of the log.
    ``live`` gives the state of a user who is in memory: to look at, at once, never to change.
    """

    queries: LogQueries
    retention: Retention
    writer: Writer
    keys: KeyFilter
    catalog: Catalog
    times: Timeline
    snapshot_events: int
    page_bytes_max: int = PAGE_BYTES_MAX
    privacy: Privacy | None = None
    headrooms: Headrooms = field(default_factory=Headrooms)
    register: Callable[[Sequence[str]], Awaitable[None]] = _register_none
    looking_for_unpriced: Lock = field(default_factory=Lock)
    live: Callable[[str], Account | None] = lambda _: None
