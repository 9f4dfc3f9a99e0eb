"""Pages of plans and prices: some entries in a turn of the loop, and then others have theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Final

from msgspec import Raw

from actors.billing.catalog.changes import Page
from actors.runtime.request import Request
from messages.catalog import PlansReply, PricesReply
from messages.codec import encode_reply

TURN: Final = 32
"""Entries that are shown before the loop gets a turn: half a millisecond."""


async def show(
    request: Request,
    page: Page,
    reply: type[PlansReply | PricesReply],
    flushed: Awaitable[None],
    bytes_max: int,
) -> bool:
    """Answer with as many entries of a page as fit into a reply.

    Args:
        request: to be answered.
        page: what may be shown.
        reply: the kind of reply.
        flushed: done when all is durable that the page may show.
        bytes_max: what the entries may take.

    Raises:
        JournalError: a change that the page shows was lost.
    """
    shown = await _fitting(page.entries, bytes_max)
    await flushed
    request.prepare(page.reply(shown, reply))
    request.durable()
    return False


async def _fitting(entries: Iterable[object], bytes_max: int) -> list[Raw]:
    """The first entries, encoded, as many as fit; at least one if there is any."""
    found: list[Raw] = []
    size = 0
    for entry in entries:
        encoded = encode_reply(entry)
        size += len(encoded) + 1
        if found and size > bytes_max:
            break
        found.append(Raw(encoded))
        if len(found) % TURN == 0:
            await asyncio.sleep(0)
    return found
