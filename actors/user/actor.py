"""The actor of one user: it takes the requests on the user's ledger in order.

`handle` is synchronous: it decides (pure), applies, prepares the reply and appends (`ledger`).
If it raises, nothing was appended, and the registry recovers the actor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from actors.billing.idempotency import original
from actors.billing.state.account import Account
from actors.billing.state.weight import weight
from actors.persistent.actor import PersistentActor
from actors.persistent.context import ActorContext
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from actors.user.changes import HANDLERS
from actors.user.ledger import Handler, Ledger
from actors.user.queries import QUERIES
from messages.codec import decode_event
from messages.control import Close
from messages.stored.errors import made_of
from persistence.records import Row

PASSIVATION_EVENTS: Final = 16
"""A passive user's state is not written for fewer events: replaying them costs less."""


class UserActor(PersistentActor):
    """One user's ledger and the requests on it.

    Args:
        account: the user's state as of the end of the log.
        context: what actors share.
        unsaved: events since the newest snapshot.
    """

    __slots__ = ("ledger",)

    def __init__(self, account: Account, context: ActorContext, unsaved: int = 0) -> None:
        super().__init__(context)
        self.ledger = Ledger(account, context, unsaved)

    @property
    def account(self) -> Account:
        """The live state."""
        return self.ledger.account

    @property
    def user(self) -> str:
        """See `PersistentActor`."""
        return self.ledger.account.user

    @property
    def seq(self) -> int:
        """See `PersistentActor`."""
        return self.ledger.account.seq

    def take(self, request: Request, now: int) -> Detour | None:
        """Let a boundary that has passed take effect, then have the verb's handler decide."""
        ledger = self.ledger
        account = ledger.account
        at, times = now, self.context.times
        if now <= account.at or account.seq < times.since:
            at = times.of(account.user, account.at, account.seq, now)
        command = request.command
        if account.current is not None and account.current.end <= at and type(command) is not Close:
            ledger.roll(at)
        return _HANDLERS[type(command)](ledger, request, command, at)

    def original(self, request: Request, key: str, row: Row) -> bytes:
        """See `PersistentActor`."""
        catalog, privacy = self.context.catalog, self.context.privacy
        with made_of(row.kind, row.seq):
            event = decode_event(row.kind, row.body, row.seq)
            return original(
                request.command, event, row.personal, key, row.seq, row.at, catalog, privacy
            )

    def weight(self) -> int:
        """See `Actor.weight`."""
        return weight(self.ledger.account)

    def snapshot(self) -> bool:
        """Have the state written if replaying the rest of the log would cost more."""
        worth_it = self.ledger.unsaved >= PASSIVATION_EVENTS
        if worth_it:
            self.ledger.save()
        return worth_it


_HANDLERS: Final[Mapping[type, Handler]] = {**HANDLERS, **QUERIES}
