"""A user's state as bytes and back. Slots and live objects never reach the disk.

`SCHEMA` names the version of this form; a snapshot of another version is ignored and the
state is rebuilt from the log.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from actors.billing.counters.slots import (
    restored,
    text_calls_of_others,
    used_providers,
    wavespeed_calls,
)
from actors.billing.state.account import Account, Period, Raised
from actors.billing.state.interning import NOTHING, shared
from actors.billing.state.open_holds import OpenHold, OpenHolds
from actors.billing.state.tally import tally_of
from messages.stored.errors import Unreadable
from messages.stored.events import (
    PeriodTotals,
)
from messages.stored.snapshot import DECODER, ENCODER, Plain, State, StoredPeriod

SCHEMA: Final = 4
DIGEST_BYTES: Final = 32
_SALT: Final = b"meterd4"
"""Of this schema. The next one takes another: so a digest is one of the schema too, as it is of the
user and, in the body, of the position."""


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
            holds=[_plain(hold) for hold in account.holds or ()],
            details={hold.id: hold.detail for hold in account.holds or () if hold.detail},
        )
    )
    return body + _digest(account.user, body)


def decode(user: str, body: bytes) -> Account:
    """The state of stored bytes.

    Raises:
        Unreadable: the bytes are not a whole snapshot of this user and schema.
    """
    text, digest = body[:-DIGEST_BYTES], body[-DIGEST_BYTES:]
    if _digest(user, text) != digest:
        raise Unreadable("it is not as it was written")
    try:
        return _account(user, DECODER.decode(text))
    except (KeyError, TypeError, ValueError) as error:  # DecodeError is a ValueError
        raise Unreadable(str(error)) from error


def decode_at(user: str, seq: int, body: bytes) -> Account:
    """The state of what is stored as a snapshot of a position.

    Raises:
        Unreadable: as `decode`, or it is of another position.
    """
    account = decode(user, body)
    if account.seq != seq:
        raise Unreadable("another position")
    return account


def _account(user: str, found: State) -> Account:
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
        holds=_holds(found) if found.holds else None,
    )


def _plain(hold: OpenHold) -> Plain:
    """A hold without its detail, which few have."""
    own, provider, actual, model, amounts, derived, created_at, expires_at, _ = hold
    return own, provider, actual, model, amounts, derived, created_at, expires_at


def _holds(found: State) -> OpenHolds:
    return OpenHolds([OpenHold(*hold, found.details.get(hold[0])) for hold in found.holds])


def totals_of(period: Period) -> PeriodTotals:
    """What a period counted, in the form in which it is kept for ever."""
    return PeriodTotals(
        key=period.key,
        start=period.start,
        end=period.end,
        terms=period.terms,
        providers=used_providers(period.used, period.layout),
        earlier=period.earlier or {},
        wavespeed_calls=wavespeed_calls(period.used),
        actual_providers=period.actual,
        models=period.models,
        errors=period.errors,
        response_micros=period.response_micros,
        last_updated=period.last_updated,
        slept=period.slept,
        tally=None if period.tally is None else period.tally.stored(),
        text_calls=text_calls_of_others(period.used),
    )


def period_of(totals: PeriodTotals) -> Period:
    """The period of its totals; what fired and what was announced is not part of them."""
    spanning = totals.wavespeed_calls, totals.text_calls
    used, layout = restored(totals.providers, spanning, totals.actual_providers, totals.models)
    return Period(
        key=totals.key,
        start=totals.start,
        end=totals.end,
        terms=totals.terms,
        used=used,
        layout=layout,
        earlier=totals.earlier or None,
        errors=totals.errors,
        response_micros=totals.response_micros,
        last_updated=totals.last_updated,
        slept=totals.slept,
        tally=tally_of(totals.tally),
    )


def _digest(user: str, body: bytes) -> bytes:
    """Tells a snapshot from one that was changed or is another user's."""
    source = blake2b(body, digest_size=DIGEST_BYTES // 2, salt=_SALT)
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
