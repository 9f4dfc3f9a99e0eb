"""How a user's actor has providers stored that a call is the first to name.

It asks the catalogue's actor, whose changes are in order: of two calls that name the same one, or
of one that comes again, one stores it. The answer comes when it is durable and the catalogue that
calls are priced by has it. If the service ends before the call is stored, there is a provider
without calls, which the repeated call finds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from actors.runtime.request import Request
from messages.catalog import CATALOG_USER
from messages.codec import decode_error
from messages.control import Register


class Registering:
    """Asks the catalogue's actor.

    Args:
        dispatch: takes a request.
        now: what time it is, in microseconds.
    """

    def __init__(self, dispatch: Callable[[Request], None], now: Callable[[], int]) -> None:
        self._dispatch = dispatch
        self._now = now

    async def register(self, names: Sequence[str]) -> None:
        """Have providers stored, as far as they may be.

        Raises:
            RequestError: the catalogue's actor cannot store them now.
        """
        answer = _Answer(self._now)
        self._dispatch(Request(CATALOG_USER, "", Register(tuple(names)), b"register", answer))
        await answer.came


class _Answer:
    """Where the one answer goes."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Take it; whoever waited may be gone."""
        if not reply_to or self.came.done():
            return
        if headers:  # those of an error
            self.came.set_exception(decode_error(payload))
        else:
            self.came.set_result(None)
