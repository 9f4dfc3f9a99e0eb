"""How a user's actor takes each change: what it has to look up first, and who decides.

Each handler gets the actor, the request, its command and the moment; it answers by the actor,
or returns the detour after which it is called again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from actors.batches import batch
from actors.billing import subscribing
from actors.billing.duplicates import mismatch
from actors.billing.holds import extend, hold, preflight, release
from actors.billing.inbox import ack, not_unread
from actors.billing.track import reset
from actors.edge.upkeep import Forget, Rebuild
from actors.lookups import Facts, may_have_ended
from actors.reading import Reading, stored
from actors.recovery import load
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from messages.commands import (
    Ack,
    Batch,
    Cancel,
    CloudTrack,
    Extend,
    Hold,
    Preflight,
    Release,
    Reset,
    Resume,
    Subscribe,
    Suspend,
    Track,
)
from persistence.journal import Row

if TYPE_CHECKING:
    from actors.user import UserActor


def _track(actor: UserActor, request: Request, call: Track, at: int) -> Detour | None:
    ended: Mapping[str, str] | None = None
    if call.hold_id is not None:
        facts: Facts | None = request.facts
        if facts is None and may_have_ended(actor.account, call.hold_id, actor.services):
            return actor.find(request, holds=[call.hold_id])
        ended = None if facts is None else facts.ended
    key = request.key
    assert key is not None
    rows: list[Row] = []
    request.payload = actor.count(call, key, at, rows, ended)
    actor.services.writer.append(rows, request)
    actor.grown()
    return None


def _preflight(actor: UserActor, request: Request, ask: Preflight, at: int) -> Detour | None:
    account, services, key = actor.account, actor.services, request.key
    facts: Facts | None = request.facts
    if ask.hold is not None and facts is None:
        keys = [f"{key}.{index}" for index in range(len(ask.operations))]
        known = [name for name in keys if not services.keys.claim(account.user, name)]
        if known:
            return actor.find(request, keys=known)
    if facts is not None and facts.rows:
        raise mismatch(key or "")
    actor.decided(request, preflight(account, ask, at, services.catalog, key), at)
    return None


def _hold(actor: UserActor, request: Request, ask: Hold, at: int) -> None:
    decided = hold(actor.account, ask, at, actor.services.catalog, request.key or "")
    actor.decided(request, decided, at)


def _extend(actor: UserActor, request: Request, ask: Extend, at: int) -> None:
    decided = extend(actor.account, ask, at, actor.services.catalog, request.key or "")
    actor.decided(request, decided, at)


def _release(actor: UserActor, request: Request, ask: Release, at: int) -> None:
    actor.record(request, release(actor.account, ask, at, actor.services.catalog), at)


def _reset(actor: UserActor, request: Request, ask: Reset, at: int) -> None:
    decided = reset(actor.account, ask, at, actor.services.catalog, request.key or "")
    actor.decided(request, decided, at)


def _ack(actor: UserActor, request: Request, ask: Ack, at: int) -> Detour | None:
    facts: Facts | None = request.facts
    if facts is None and (others := not_unread(actor.account, ask)):
        reading = Reading(actor.services, actor.account.user, actor.account.seq)

        async def find() -> bool:
            request.facts = Facts(raised=await reading.raised_ids(others))
            return True

        return Detour(find, blocks=True)
    raised = () if facts is None else facts.raised
    actor.record(request, ack(actor.account, ask, actor.services.catalog, raised), at)
    return None


def _subscribe(actor: UserActor, request: Request, ask: Subscribe, at: int) -> None:
    recorded = subscribing.subscribe(actor.account, ask, at, actor.services.catalog)
    actor.record(request, recorded, at)


def _cancel(actor: UserActor, request: Request, ask: Cancel, at: int) -> None:
    recorded = subscribing.cancel(actor.account, ask, at, actor.services.catalog)
    actor.record(request, recorded, at)


def _suspend(actor: UserActor, request: Request, ask: Suspend, at: int) -> None:
    actor.record(request, subscribing.suspend(actor.account, ask, actor.services.catalog), at)


def _resume(actor: UserActor, request: Request, ask: Resume, at: int) -> None:
    actor.record(request, subscribing.resume(actor.account, ask, actor.services.catalog), at)


def _rebuild(actor: UserActor, request: Request, _: Rebuild, _at: int) -> Detour:
    settled = actor.services.writer.barrier()  # as of now: this state may be lost any moment

    async def work() -> bool:
        await stored(settled)
        account, rows = await load(actor.account.user, actor.services, from_log=True)
        changed = account != actor.account
        actor.account = account
        if rows:
            actor.save()
        seq = account.seq
        request.prepare({"user_id": account.user, "rows": rows, "changed": changed, "seq": seq})
        request.durable()
        return False

    return Detour(work, blocks=True)


def _forget(actor: UserActor, request: Request, _: Forget, _at: int) -> Detour:
    journal, user, seq = actor.services.journal, actor.account.user, actor.account.seq
    settled = actor.services.writer.barrier()  # what is to be erased has to be in the log

    async def work() -> bool:
        await stored(settled)
        rows = await journal.erase(user)
        request.prepare({"user_id": user, "rows": rows, "seq": seq})
        request.durable()
        return False

    return Detour(work, blocks=False)  # the rows of a busy user may take long


CHANGES: Final[Mapping[type, Callable[[UserActor, Request, Any, int], Detour | None]]] = {
    Track: _track,
    CloudTrack: _track,
    Batch: batch,
    Preflight: _preflight,
    Hold: _hold,
    Extend: _extend,
    Release: _release,
    Reset: _reset,
    Ack: _ack,
    Subscribe: _subscribe,
    Cancel: _cancel,
    Suspend: _suspend,
    Resume: _resume,
    Rebuild: _rebuild,
    Forget: _forget,
}
