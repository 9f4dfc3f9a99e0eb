"""An actor whose state comes from the log: what each of them does with any request.

`handle` is synchronous. A request is admitted first: its deadline, the writer, its key. A key
that may have come before is looked up, off the loop, and its original reply is made of its row.
What the kind of actor does with a request is `take`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial

from actors.persistent.context import ActorContext
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from messages.errors import RequestError
from persistence.records import Row


class PersistentActor(ABC):
    """See the module's docstring.

    Args:
        context: what actors share.
    """

    __slots__ = ("context",)

    def __init__(self, context: ActorContext) -> None:
        self.context = context

    @property
    @abstractmethod
    def user(self) -> str:
        """Whose rows the state comes from."""

    @property
    @abstractmethod
    def seq(self) -> int:
        """The position up to which the state is."""

    @abstractmethod
    def take(self, request: Request, now: int) -> Detour | None:
        """Decide an admitted request, apply, append, and prepare its reply.

        Raises:
            RequestError: it is refused, and nothing has changed.
        """

    @abstractmethod
    def original(self, request: Request, key: str, row: Row) -> bytes:
        """The encoded reply that the row of this key had.

        Raises:
            RequestError: ``idempotency_mismatch``, or the request is invalid.
            UnreadableEvent: the row cannot be read.
        """

    def handle(self, request: Request) -> Detour | None:
        """Take one request.

        Raises:
            RequestError: the request is refused before it is looked at.
        """
        context = self.context
        now = context.times.now()
        if not admit(request, context, now):
            return Detour(partial(self._look_up, request), blocks=True)
        try:
            return self.take(request, now)
        except RequestError as error:
            request.prepare_error(error)
            context.writer.after(self.seq, request)  # it may reflect what is not durable yet
            return None

    def quiescent(self) -> bool:
        """Whether everything that the state reflects is durable."""
        return self.seq <= self.context.writer.durable

    async def _look_up(self, request: Request) -> bool:
        """Answer a duplicate from its row; True if the key turns out to be new."""
        context, key = self.context, request.key
        assert key is not None
        # The original may be in flight: after this its row is on disk.
        await context.writer.flushed()
        row = await context.queries.find(self.user, key)
        if row is None:
            request.key_is_new = True
            return True
        request.payload = self.original(request, key, row)
        request.durable()
        return False


def admit(request: Request, context: ActorContext, now: int) -> bool:
    """Whether the request may be decided; False if its key may have come before.

    Raises:
        RequestError: ``deadline_exceeded``, or ``unavailable`` behind a failed write.
    """
    if request.deadline is not None:  # seldom, so that most are spared a call
        request.check_deadline(now)
    if not context.writer.accepting:
        raise RequestError("unavailable", "not executed: behind a failed write")
    if request.key is None or request.key_is_new:
        return True
    # A key of a request that is refused after this costs the next one with it a look.
    request.key_is_new = context.keys.claim(request.user, request.key)
    return request.key_is_new
