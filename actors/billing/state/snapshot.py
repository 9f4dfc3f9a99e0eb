"""A user's state as bytes and back. Slots and live objects never reach the disk.

`SCHEMA` names the version of this form; a snapshot of another version is ignored and the
state is rebuilt from the log.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from actors.billing.catalog.providers import TEXT_PROVIDERS
from actors.billing.counters import named, slots_of
from actors.billing.limits.limits import INDEX, SLOTS, TEXT_CALLS, TOTAL_COST, WAVESPEED_CALLS
from actors.billing.state.account import Account, Period, Raised, providers_of
from actors.billing.state.interning import NOTHING, shared
from actors.billing.state.open_holds import OpenHold, OpenHolds
from messages.stored.events import Counters, PeriodTotals
from messages.stored.snapshot import DECODER, ENCODER, State, StoredPeriod

SCHEMA: Final = 3
DIGEST_BYTES: Final = 32


def encode(account: Account) -> bytes:
    """The user's state as it is stored, with a digest; equal states give equal bytes."""
    body = ENCODER.encode(
        State(
            seq=account.seq,
            at=account.at,
            current=_dump(account.current) if account.current else None,
            closed=[_dump(period) for period in account.closed],
            months=dict(account.months),
            before=dict(account.before),
            unread=[(raised.alert, raised.at, raised.seq) for raised in account.unread.values()],
            sealed=account.sealed,
            subscription=account.subscription,
            suspended=account.suspended,
            holds=list(account.holds or ()),
        )
    )
    return body + _digest(account.user, body)


def decode(user: str, body: bytes) -> Account:
    """The state of stored bytes.

    Raises:
        ValueError: the bytes are not a whole snapshot of this user and schema.
    """
    text, digest = body[:-DIGEST_BYTES], body[-DIGEST_BYTES:]
    if _digest(user, text) != digest:
        raise ValueError("it is not as it was written")
    found = DECODER.decode(text)
    return Account(
        user=user,
        seq=found.seq,
        at=found.at,
        current=_load(found.current) if found.current else None,
        closed=tuple([_load(period) for period in found.closed]),
        months=shared(found.months),
        before=found.before or NOTHING,
        unread={alert.id: Raised(alert, at, seq) for alert, at, seq in found.unread} or NOTHING,
        sealed=found.sealed,
        subscription=found.subscription,
        suspended=found.suspended,
        holds=OpenHolds([OpenHold(*hold) for hold in found.holds]) if found.holds else None,
    )


def totals_of(period: Period) -> PeriodTotals:
    """What a period counted, in the form in which it is kept for ever."""
    earlier = period.earlier
    return PeriodTotals(
        key=period.key,
        start=period.start,
        end=period.end,
        terms=period.terms,
        providers=providers_of(period.used),
        earlier=providers_of(earlier) if earlier else {},
        wavespeed_calls=period.used[WAVESPEED_CALLS],
        actual_providers=period.actual,
        models=period.models,
        errors=period.errors,
        response_micros=period.response_micros,
        last_updated=period.last_updated,
        slept=period.slept,
    )


def period_of(totals: PeriodTotals) -> Period:
    """The period of its totals; what fired and what was announced is not part of them."""
    numbers = _slots(totals.providers)
    numbers[WAVESPEED_CALLS] = totals.wavespeed_calls
    used, layout = named(numbers, totals.actual_providers, totals.models)
    return Period(
        key=totals.key,
        start=totals.start,
        end=totals.end,
        terms=totals.terms,
        used=used,
        layout=layout,
        earlier=slots_of(_slots(totals.earlier)[:TEXT_CALLS]) if totals.earlier else None,
        errors=totals.errors,
        response_micros=totals.response_micros,
        last_updated=totals.last_updated,
        slept=totals.slept,
    )


def _digest(user: str, body: bytes) -> bytes:
    """Tells a snapshot from one that was changed or is another user's."""
    source = blake2b(body, digest_size=DIGEST_BYTES // 2, salt=b"meterd")
    source.update(user.encode())
    return source.hexdigest().encode()


def _dump(period: Period) -> StoredPeriod:
    return StoredPeriod(totals_of(period), dict(period.levels), period.announced)


def _load(stored: StoredPeriod) -> Period:
    period = period_of(stored.totals)
    period.levels = stored.levels or NOTHING
    period.rearm()
    period.announced = stored.announced
    return period


def _slots(providers: dict[str, Counters]) -> list[int]:
    used = [0] * SLOTS
    for name, counters in providers.items():
        slot = 3 * INDEX[name]
        used[slot : slot + 3] = counters
        used[TOTAL_COST] += counters[2]
        if name in TEXT_PROVIDERS:
            used[TEXT_CALLS] += counters[0]
    return used
