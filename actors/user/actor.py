"""The actor of one user: it takes the requests on the user's ledger in order.

`handle` is synchronous: it decides (pure), applies, prepares the reply and appends (`ledger`).
If it raises, nothing was appended, and the registry recovers the actor.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from actors.billing.idempotency import original
from actors.billing.state.account import Account
from actors.persistent.admit import admit
from actors.persistent.context import ActorContext
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from actors.user.changes import HANDLERS
from actors.user.ledger import Handler, Ledger
from actors.user.queries import QUERIES
from messages.codec import decode_event
from messages.errors import RequestError

PASSIVATION_EVENTS: Final = 16
"""A passive user's state is not written for fewer events: replaying them costs less."""


class UserActor:
    """One user's ledger and the requests on it.

    Args:
        account: the user's state as of the end of the log.
        context: what actors share.
        unsaved: events since the newest snapshot.
    """

    __slots__ = ("ledger",)

    def __init__(self, account: Account, context: ActorContext, unsaved: int = 0) -> None:
        self.ledger = Ledger(account, context, unsaved)

    @property
    def account(self) -> Account:
        """The live state."""
        return self.ledger.account

    def handle(self, request: Request) -> Detour | None:
        """Take one request. See the module's docstring.

        Raises:
            RequestError: the request is refused before it is looked at.
        """
        ledger = self.ledger
        context, account = ledger.context, ledger.account
        now = context.clock.now()
        if not admit(request, context, now):
            return Detour(partial(self._look_up, request), blocks=True)
        at = max(now, account.at)
        if account.current is not None and account.current.end <= at:
            ledger.roll(at)
        command = request.command
        try:
            return _HANDLERS[type(command)](ledger, request, command, at)
        except RequestError as error:
            request.prepare_error(error)
            context.writer.after(account.seq, request)  # it may reflect what is not durable yet
            return None

    def quiescent(self) -> bool:
        """Whether everything that the state reflects is durable."""
        ledger = self.ledger
        return ledger.account.seq <= ledger.context.writer.durable

    def snapshot(self) -> bool:
        """Have the state written if replaying the rest of the log would cost more."""
        worth_it = self.ledger.unsaved >= PASSIVATION_EVENTS
        if worth_it:
            self.ledger.save()
        return worth_it

    async def _look_up(self, request: Request) -> bool:
        """Answer a duplicate from its row; True if the key turns out to be new."""
        context, key = self.ledger.context, request.key
        assert key is not None
        # The original may be in flight: after this its row is on disk.
        await context.writer.flushed()
        row = await context.queries.find(self.ledger.account.user, key)
        if row is None:
            request.key_is_new = True
            return True
        event = decode_event(row.kind, row.body, row.seq)
        catalog, privacy = context.catalog, context.privacy
        request.payload = original(
            request.command, event, row.personal, key, row.seq, row.at, catalog, privacy
        )
        request.durable()
        return False


_HANDLERS: Final[Mapping[type, Handler]] = {**HANDLERS, **QUERIES}
