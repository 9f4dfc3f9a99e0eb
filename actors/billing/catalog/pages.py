"""Pages of what the catalogue has, and the cursors between them. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from messages.catalog import (
    PlanEntry,
    PlansReply,
    ProviderEntry,
    ProvidersReply,
)
from messages.errors import InvalidRequest
from messages.prices import (
    PriceEntry,
    PricesReply,
)

ENTRIES_MAX: Final = 4_096
"""Entries that a page looks at: more of the shortest do not fit into a reply."""
_T = TypeVar("_T")
PageReply: TypeAlias = type[PlansReply | PricesReply | ProvidersReply]
_FIELDS: Final[Mapping[PageReply, str]] = {
    PlansReply: "plans",
    PricesReply: "prices",
    ProvidersReply: "providers",
}
"""Where a reply has its entries."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of plans, prices or providers, before as many entries as fit are shown.

    Attributes:
        entries: to be shown, made as they are asked for.
        count: how many they are.
        start: how many are on the pages before.
        last: whether there are no others behind them.
        digest: of the filters, which a cursor is bound to.
        version, seq: of the catalogue.
    """

    entries: Iterator[PlanEntry | PriceEntry | ProviderEntry]
    count: int
    start: int
    last: bool
    digest: str
    version: int
    seq: int

    def reply(self, shown: Sequence[msgspec.Raw], reply: PageReply) -> Struct:
        """The reply that shows this many entries, which are encoded."""
        cursor = None
        if len(shown) < self.count or not self.last:
            cursor = cursor_of(str(self.start + len(shown)), self.digest)
        fields: dict[str, Any] = {_FIELDS[reply]: tuple(shown), "next_cursor": cursor}
        return reply(**fields, version=self.version, seq=self.seq)


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


def start_of(cursor: str | None, filters: object) -> tuple[str, int]:
    """The digest of the filters, and how many entries are before the page."""
    digest = blake2b(msgspec.json.encode(filters), digest_size=6).hexdigest()
    return digest, max(read_cursor(cursor, digest, int), 0) if cursor else 0
