"""Control subjects for the state of users: not part of the contract, for operators.

``<prefix>.ctl.rebuild.<user>``: the state is made anew from the log alone, and written.
``<prefix>.ctl.forget.<user>``: what calls said of persons is erased from the user's log.
``<prefix>.ctl.snapshot.live``: the state of all live users is written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct
from nats.aio.msg import Msg

from actors.edge.link import Link
from actors.runtime.request import Request
from messages.codec import clip
from messages.errors import RequestError
from messages.subjects import decode_user
from persistence.errors import JournalError


class Rebuild(Struct, frozen=True):
    """Restore the user's state from the log alone."""


class Forget(Struct, frozen=True):
    """Erase the personal fields of all that is logged of the user."""


_VERBS: Final = {"rebuild": Rebuild(), "forget": Forget()}


class Upkeep:
    """Listens for the control subjects of a prefix.

    Args:
        prefix: what every subject starts with.
        link: the connection.
        dispatch: takes a request.
        snapshot: has the state of all live users written; the answer when it is durable.
    """

    def __init__(
        self,
        prefix: str,
        link: Link,
        dispatch: Callable[[Request], None],
        snapshot: Callable[[], Awaitable[dict[str, int]]],
    ) -> None:
        self._prefix = prefix
        self._link = link
        self._dispatch = dispatch
        self._snapshot = snapshot

    async def serve(self) -> None:
        """Listen from now on."""
        for verb in _VERBS:
            await self._link.listen(f"{self._prefix}.ctl.{verb}.*", self._on_message)
        await self._link.listen(f"{self._prefix}.ctl.snapshot.live", self._on_snapshot)

    async def _on_message(self, message: Msg) -> None:
        *_, verb, token = message.subject.split(".")
        request = Request("", token, _VERBS[verb], message.reply.encode(), self._link)
        try:
            request.user = decode_user(token)
        except ValueError as error:
            request.refuse(RequestError("invalid_user", clip(str(error))))
            return
        self._dispatch(request)

    async def _on_snapshot(self, message: Msg) -> None:
        request = Request("", "", None, message.reply.encode(), self._link)
        try:
            request.prepare(await self._snapshot())
        except JournalError as error:
            request.refuse(RequestError("unavailable", clip(str(error))))
            return
        request.durable()
