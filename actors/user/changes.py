"""How a user's actor takes a change: what has to be looked up first, then what decides it.

A verb whose record is in `billing.changes` needs nothing here unless only the log knows something
that it depends on. A `track` and a `batch` have ways of their own, which are the hot ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from actors.billing.change import Now
from actors.billing.changes import CHANGES
from actors.billing.idempotency import mismatch
from actors.billing.periods.rollover import closing
from actors.billing.reports.alerts import not_unread
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from actors.user.batch import batch
from actors.user.ledger import Handler, Ledger
from actors.user.log_reads import Reading
from actors.user.lookups import Facts, find, may_have_ended, register
from actors.user.recovery import load
from messages.admission import Preflight
from messages.control import Close, Forget, Rebuild
from messages.reports import Ack
from messages.usage import Batch, ConvertedTrack, Track
from persistence.records import Row

_log = structlog.get_logger(__name__)


def _track(ledger: Ledger, request: Request, call: Track, at: int) -> Detour | None:
    ended: Mapping[str, str] | None = None
    if call.hold_id is not None:
        facts: Facts | None = request.facts
        ended = None if facts is None else facts.ended
        looked = ended is not None and call.hold_id in ended
        if not looked and may_have_ended(ledger.account, call.hold_id, ledger.context):
            return find(request, ledger.context, holds=[call.hold_id])
    providers = ledger.context.catalog.providers
    if providers.registers and providers.may_register(call.provider):
        ledger.check(call, at, ended)  # what is refused stores no provider
        detour = register(request, ledger.context, [call.provider])
        if detour is not None:
            return detour
    key = request.key
    assert key is not None
    rows: list[Row] = []
    request.payload = ledger.count(call, key, at, rows, ended)
    ledger.context.writer.append(rows, request)
    if ledger.account.grew:
        ledger.account.grew, request.grew = False, True
    ledger.grown()
    return None


def _change(ledger: Ledger, request: Request, ask: Any, at: int) -> Detour | None:
    """Take any change that has a record: what it needs of the log comes first."""
    look_up = _LOOK_UPS.get(type(ask))
    detour = look_up(ledger, request, ask) if look_up is not None else None
    if detour is not None:
        return detour
    context, facts = ledger.context, request.facts
    found = () if facts is None else facts.raised
    change = CHANGES[type(ask)]
    key, ahead = request.key or "", at - context.times.latest
    now = Now(change, at, key, context.catalog, context.headrooms, found, ahead)
    ledger.take(request, change.decide(ledger.account, ask, now), at)
    return None


def _keys_of_holds(ledger: Ledger, request: Request, ask: Preflight) -> Detour | None:
    """Each hold of a preflight has a key of its own, which may have been used before."""
    account, context, key = ledger.account, ledger.context, request.key
    facts: Facts | None = request.facts
    if ask.hold is not None and facts is None:
        keys = [f"{key}.{index}" for index in range(len(ask.operations))]
        known = [name for name in keys if not context.keys.claim(account.user, name)]
        if known:
            return find(request, context, keys=known)
    if facts is not None and facts.rows:
        raise mismatch(key or "")
    return None


def _alerts_of_the_log(ledger: Ledger, request: Request, ask: Ack) -> Detour | None:
    """Of the alerts that are not unread, only the log knows whether they were ever raised."""
    others = not_unread(ledger.account, ask)
    if request.facts is not None or not others:
        return None
    reading = Reading(ledger.context, ledger.account.user, ledger.account.seq)

    async def find_raised() -> bool:
        request.facts = Facts(raised=await reading.raised_ids(others))
        return True

    return Detour(find_raised, blocks=True)


def _close(ledger: Ledger, request: Request, _: Close, at: int) -> None:
    ledger.note(request, closing(ledger.account, at), at)


def _rebuild(ledger: Ledger, request: Request, _: Rebuild, _at: int) -> Detour:
    flushed = ledger.context.writer.flushed()  # as of now: this state may be lost any moment

    async def work() -> bool:
        await flushed
        account, rows = await load(ledger.account.user, ledger.context, from_log=True)
        changed = account != ledger.account
        ledger.account = account
        if rows:
            ledger.save()
        user, seq = account.user, account.seq
        _log.info("rebuilt", user=user, rows=rows, changed=changed, seq=seq)
        request.prepare({"user_id": user, "rows": rows, "changed": changed, "seq": seq})
        request.durable()
        return False

    return Detour(work, blocks=True)


def _forget(ledger: Ledger, request: Request, _: Forget, _at: int) -> Detour:
    retention, user, seq = ledger.context.retention, ledger.account.user, ledger.account.seq
    flushed = ledger.context.writer.flushed()  # what is to be erased has to be in the log

    async def work() -> bool:
        await flushed
        rows = await retention.erase(user)
        _log.info("forgotten", user=user, rows=rows, seq=seq)
        request.prepare({"user_id": user, "rows": rows, "seq": seq})
        request.durable()
        return False

    return Detour(work, blocks=False)  # the rows of a busy user may take long


_LOOK_UPS: Final[Mapping[type, Callable[[Ledger, Request, Any], Detour | None]]] = {
    Preflight: _keys_of_holds,
    Ack: _alerts_of_the_log,
}

HANDLERS: Final[Mapping[type, Handler]] = {
    **dict.fromkeys(CHANGES, _change),
    Track: _track,
    ConvertedTrack: _track,
    Batch: batch,
    Close: _close,
    Rebuild: _rebuild,
    Forget: _forget,
}
