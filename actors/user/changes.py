"""How a user's actor takes each change: what it has to look up first, and who decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from actors.billing.admission.holds import extend, hold, preflight, release
from actors.billing.idempotency import mismatch
from actors.billing.periods import subscribe as subscribing
from actors.billing.reports.alerts import ack, not_unread
from actors.billing.usage.track import reset
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from actors.user.batch import batch
from actors.user.ledger import Handler, Ledger
from actors.user.log_reads import Reading, stored
from actors.user.lookups import Facts, find, may_have_ended
from actors.user.recovery import load
from messages.admission import Extend, Hold, Preflight, Release
from messages.control import Forget, Rebuild
from messages.reports import Ack
from messages.subscriptions import Cancel, Resume, Subscribe, Suspend
from messages.usage import Batch, CloudTrack, Reset, Track
from persistence.records import Row


def _track(ledger: Ledger, request: Request, call: Track, at: int) -> Detour | None:
    ended: Mapping[str, str] | None = None
    if call.hold_id is not None:
        facts: Facts | None = request.facts
        if facts is None and may_have_ended(ledger.account, call.hold_id, ledger.services):
            return find(request, ledger.services, holds=[call.hold_id])
        ended = None if facts is None else facts.ended
    key = request.key
    assert key is not None
    rows: list[Row] = []
    request.payload = ledger.count(call, key, at, rows, ended)
    ledger.services.writer.append(rows, request)
    ledger.grown()
    return None


def _preflight(ledger: Ledger, request: Request, ask: Preflight, at: int) -> Detour | None:
    account, services, key = ledger.account, ledger.services, request.key
    facts: Facts | None = request.facts
    if ask.hold is not None and facts is None:
        keys = [f"{key}.{index}" for index in range(len(ask.operations))]
        known = [name for name in keys if not services.keys.claim(account.user, name)]
        if known:
            return find(request, services, keys=known)
    if facts is not None and facts.rows:
        raise mismatch(key or "")
    ledger.decided(request, preflight(account, ask, at, services.catalog, key), at)
    return None


def _hold(ledger: Ledger, request: Request, ask: Hold, at: int) -> None:
    decided = hold(ledger.account, ask, at, ledger.services.catalog, request.key or "")
    ledger.decided(request, decided, at)


def _extend(ledger: Ledger, request: Request, ask: Extend, at: int) -> None:
    decided = extend(ledger.account, ask, at, ledger.services.catalog, request.key or "")
    ledger.decided(request, decided, at)


def _release(ledger: Ledger, request: Request, ask: Release, at: int) -> None:
    ledger.record(request, release(ledger.account, ask, at, ledger.services.catalog), at)


def _reset(ledger: Ledger, request: Request, ask: Reset, at: int) -> None:
    decided = reset(ledger.account, ask, at, ledger.services.catalog, request.key or "")
    ledger.decided(request, decided, at)


def _ack(ledger: Ledger, request: Request, ask: Ack, at: int) -> Detour | None:
    facts: Facts | None = request.facts
    if facts is None and (others := not_unread(ledger.account, ask)):
        reading = Reading(ledger.services, ledger.account.user, ledger.account.seq)

        async def find() -> bool:
            request.facts = Facts(raised=await reading.raised_ids(others))
            return True

        return Detour(find, blocks=True)
    raised = () if facts is None else facts.raised
    ledger.record(request, ack(ledger.account, ask, ledger.services.catalog, raised), at)
    return None


def _subscribe(ledger: Ledger, request: Request, ask: Subscribe, at: int) -> None:
    recorded = subscribing.subscribe(ledger.account, ask, at, ledger.services.catalog)
    ledger.record(request, recorded, at)


def _cancel(ledger: Ledger, request: Request, ask: Cancel, at: int) -> None:
    recorded = subscribing.cancel(ledger.account, ask, at, ledger.services.catalog)
    ledger.record(request, recorded, at)


def _suspend(ledger: Ledger, request: Request, ask: Suspend, at: int) -> None:
    ledger.record(request, subscribing.suspend(ledger.account, ask, ledger.services.catalog), at)


def _resume(ledger: Ledger, request: Request, ask: Resume, at: int) -> None:
    ledger.record(request, subscribing.resume(ledger.account, ask, ledger.services.catalog), at)


def _rebuild(ledger: Ledger, request: Request, _: Rebuild, _at: int) -> Detour:
    settled = ledger.services.writer.barrier()  # as of now: this state may be lost any moment

    async def work() -> bool:
        await stored(settled)
        account, rows = await load(ledger.account.user, ledger.services, from_log=True)
        changed = account != ledger.account
        ledger.account = account
        if rows:
            ledger.save()
        seq = account.seq
        request.prepare({"user_id": account.user, "rows": rows, "changed": changed, "seq": seq})
        request.durable()
        return False

    return Detour(work, blocks=True)


def _forget(ledger: Ledger, request: Request, _: Forget, _at: int) -> Detour:
    journal, user, seq = ledger.services.journal, ledger.account.user, ledger.account.seq
    settled = ledger.services.writer.barrier()  # what is to be erased has to be in the log

    async def work() -> bool:
        await stored(settled)
        rows = await journal.erase(user)
        request.prepare({"user_id": user, "rows": rows, "seq": seq})
        request.durable()
        return False

    return Detour(work, blocks=False)  # the rows of a busy user may take long


CHANGES: Final[Mapping[type, Handler]] = {
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
