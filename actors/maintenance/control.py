"""Control subjects for the state of users: not part of the contract, for operators.

``<prefix>.ctl.rebuild.<user>``: the state is made anew from the log alone, and written.
``<prefix>.ctl.forget.<user>``: what calls said of persons is erased from the user's log.
``<prefix>.ctl.snapshot.live``: the state of all live users is written.
``<prefix>.ctl.archive.<day>``: the next step of what is older moves from the log into files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from nats.aio.msg import Msg

from actors.edge.connection import Connection
from actors.edge.request_log import RequestLog
from actors.runtime.request import Request
from actors.runtime.unreadable import FAILED, refusal_of
from messages.control import Forget, Rebuild
from messages.errors import RequestError
from messages.refusals import clip
from messages.subjects import decode_user

_VERBS: Final = {"rebuild": Rebuild(), "forget": Forget()}


class Upkeep:
    """Listens for the control subjects of a prefix.

    Args:
        prefix: what every subject starts with.
        connection: to NATS.
        dispatch: takes a request.
        snapshot: has the state of all live users written; the answer when it is durable.
        archive: takes the next step of an archive of what is before a day; the answer.
        log: tells of each request, if it is to be told.
    """

    def __init__(
        self,
        prefix: str,
        connection: Connection,
        dispatch: Callable[[Request], None],
        snapshot: Callable[[], Awaitable[dict[str, int]]],
        archive: Callable[[str], Awaitable[Any]],
        log: RequestLog | None = None,
    ) -> None:
        self._prefix = prefix
        self._connection = connection
        self._dispatch = dispatch
        self._snapshot = snapshot
        self._archive = archive
        self._log = log
        self._archiving = set[asyncio.Task[None]]()

    async def serve(self) -> None:
        """Listen from now on."""
        for verb in _VERBS:
            await self._connection.listen(f"{self._prefix}.ctl.{verb}.*", self._on_message)
        await self._connection.listen(f"{self._prefix}.ctl.snapshot.live", self._on_snapshot)
        await self._connection.listen(f"{self._prefix}.ctl.archive.*", self._on_archive)

    async def _on_message(self, message: Msg) -> None:
        *_, verb, token = message.subject.split(".")
        user, wrong = "", ""
        try:
            user = decode_user(token)
        except ValueError as error:
            wrong = clip(str(error))
        request = self._request(message, user or clip(token), _VERBS[verb])
        if wrong:
            request.refuse(RequestError("invalid_user", wrong))
            return
        request.user, request.token = user, token
        self._dispatch(request)

    async def _on_snapshot(self, message: Msg) -> None:
        await self._answer(message, self._snapshot())

    async def _on_archive(self, message: Msg) -> None:
        # A step takes longer than a caller waits: it asks again, and is to get the same answer.
        day = message.subject.rpartition(".")[2]
        task = asyncio.create_task(self._answer(message, self._archive(day)))
        self._archiving.add(task)
        task.add_done_callback(self._archiving.discard)

    def _request(self, message: Msg, about: str | None, command: Any = None) -> Request:
        """The request of a message; ``about`` is whom it names."""
        reply_to, replies = message.reply.encode(), self._connection.replies
        if self._log is not None:
            verb = message.subject.removeprefix(f"{self._prefix}.").rpartition(".")[0]
            reply_to, replies = self._log.ask(verb, about, reply_to), self._log
        return Request("", "", command, reply_to, replies)

    async def _answer(self, message: Msg, work: Awaitable[Any]) -> None:
        request = self._request(message, None)
        try:
            request.prepare(await work)
        except RequestError as error:
            request.refuse(error)
        except FAILED as error:
            request.refuse(refusal_of(error, clip(str(error))))
        else:
            request.durable()
