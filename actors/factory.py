"""How the actors of users, and that of the catalogue, are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from actors.catalog.actor import recover_catalog
from actors.persistent.context import ActorContext
from actors.runtime.cell import Actor
from actors.runtime.loading import Begun
from actors.user.actor import UserActor
from actors.user.recovery import Restored, begin, load, read_together
from messages.catalog import CATALOG_USER
from persistence.records import Loaded


class Restoring:
    """A `Recovery` from the journal.

    Args:
        context: what actors share.
    """

    def __init__(self, context: ActorContext) -> None:
        self._context = context

    async def read(self, users: Sequence[str]) -> Mapping[str, Loaded]:
        """See `Recovery.read`; the catalogue is no user's account, so it is left out."""
        return await read_together([user for user in users if user != CATALOG_USER], self._context)

    def begin(self, user: str, stored: Loaded) -> Begun:
        """See `Recovery.begin`."""
        restored = begin(user, stored, self._context)
        actor = UserActor(restored.account, self._context, restored.rows)
        whole = restored.whole and not restored.left
        rest = None if whole else partial(self._rest, actor, restored)
        return Begun(actor, rest, restored.rows)

    async def alone(self, user: str) -> Actor:
        """See `Recovery.alone`."""
        if user == CATALOG_USER:
            return await recover_catalog(self._context)
        account, replayed = await load(user, self._context)
        return UserActor(account, self._context, replayed)

    async def _rest(self, actor: UserActor, restored: Restored) -> None:
        actor.ledger.replayed(await restored.finish(self._context))
