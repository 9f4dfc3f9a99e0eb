"""Pages of the catalogue: some entries in a turn of the loop, and then others have theirs."""

from __future__ import annotations

from collections.abc import Awaitable

from actors.billing.catalog.pages import Page, PageReply
from actors.persistent.in_turns import fitting_in_turns
from actors.runtime.request import Request


async def show(
    request: Request,
    page: Page,
    reply: PageReply,
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
    shown = await fitting_in_turns(page.entries, bytes_max)
    await flushed
    request.prepare(page.reply(shown, reply))
    request.durable()
    return False
