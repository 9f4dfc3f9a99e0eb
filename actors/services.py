"""What all actors of a process share."""

from __future__ import annotations

from dataclasses import dataclass

from actors.billing.catalog import Catalog
from actors.billing.logs import PAGE_BYTES_MAX
from actors.clock import Clock
from persistence.journal import Journal
from persistence.keys import KeyFilter
from persistence.writer import Writer


@dataclass(frozen=True, slots=True)
class Services:
    """What all actors share."""

    journal: Journal
    writer: Writer
    keys: KeyFilter
    catalog: Catalog
    clock: Clock
    snapshot_events: int
    page_bytes_max: int = PAGE_BYTES_MAX
