"""One user's metering without I/O: the pure rules, run in the order in which the actor does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from actors.billing.admission import decide as enforcing
from actors.billing.admission import holds as holding
from actors.billing.catalog.catalog import Catalog, Plan
from actors.billing.catalog.defaults import default_catalog
from actors.billing.catalog.prices import Price
from actors.billing.effects import Recorded, Refused
from actors.billing.periods import subscribe as subscribing
from actors.billing.periods.calendar import month_of
from actors.billing.periods.rollover import current_of, due
from actors.billing.reports import stats as summaries
from actors.billing.reports.alerts import ack
from actors.billing.state.account import Account, Period
from actors.billing.state.apply import apply
from actors.billing.usage import track as changes
from actors.billing.usage.privacy import personal_of
from actors.billing.wire.replies import answer
from messages.admission import Enforce, EnforceReply, Extend, Hold, HoldsReply, Preflight, Release
from messages.codec import decode_command, decode_event, encode_event, encode_reply
from messages.reports import Ack, Logs, Stats, StatsReply
from messages.stored.events import KIND, Event, PeriodRolled, Personal, PlanTerms, UsageRecorded
from messages.subscriptions import Cancel, Resume, Subscribe, Suspend
from messages.units import to_datetime, to_micros
from messages.usage import Reset, ResetReply, Track, TrackReply
from messages.verbs import Command

STRIDE: Final = 3
"""Positions from one row of the user to the next: other users' rows stand between them."""
_TRACKED: Final = msgspec.json.Decoder(TrackReply)
_RESET: Final = msgspec.json.Decoder(ResetReply)
_MOMENTS: Final = ("timestamp", "deadline", "since", "until")

_C = TypeVar("_C", bound=Command)


def micros(text: str) -> int:
    """Microseconds since the epoch of an RFC 3339 text."""
    return to_micros(datetime.fromisoformat(text))


def nano(usd: object) -> int:
    """Nano-USD of an amount of USD, exactly."""
    amount = Fraction(str(usd)) * 10**9
    assert amount.denominator == 1
    return amount.numerator


NOON: Final = micros("2026-03-15T12:00:00Z")


def plan(limits: Mapping[str, int], tier: str = "pro") -> PlanTerms:
    """A plan with these limits; those of cost in nano-USD."""
    return PlanTerms("Test", tier, 1, tuple(limits.items()), ("a_feature",))


def catalog_of(*prices: Price, free: Mapping[str, int] | None = None) -> Catalog:
    """The real providers with other prices and another free plan, by default without limits."""
    return Catalog(default_catalog().providers.all, prices, [Plan(plan(free or {}, "free"), 0, 0)])


def _command(kind: type[_C], verb: str, fields: dict[str, Any]) -> _C:
    for name in _MOMENTS:
        if isinstance(fields.get(name), int):
            fields[name] = to_datetime(fields[name])
    command = decode_command(verb, encode_reply(fields))
    assert isinstance(command, kind)
    return command


def a_track(provider: str = "openai", **fields: Any) -> Track:
    """A decoded ``track`` body; instants may be given in microseconds."""
    return _command(Track, "track", {"provider": provider, **fields})


def an_enforce(provider: str = "openai", **fields: Any) -> Enforce:
    """A decoded ``enforce`` body."""
    return _command(Enforce, "enforce", {"provider": provider, **fields})


def a_reset(**fields: Any) -> Reset:
    """A decoded ``reset`` body."""
    return _command(Reset, "reset", fields)


def a_logs(**fields: Any) -> Logs:
    """A decoded ``logs`` body; instants may be given in microseconds."""
    return _command(Logs, "logs", fields)


class Entry(NamedTuple):
    """A row of the user's log."""

    seq: int
    key: str | None
    kind: str
    at: int
    body: str
    personal: str | None

    @property
    def event(self) -> Event:
        return decode_event(self.kind, self.body)


class Meter:
    """A user's state, the log that it came from, and the clock.

    Args:
        catalog: prices and plans; by default those that meterd starts with.
        terms: opens the first period under this plan; without, the user has no log yet.
        at: what time it is at first, in microseconds.
    """

    def __init__(
        self,
        catalog: Catalog | None = None,
        *,
        terms: PlanTerms | None = None,
        at: int = NOON,
    ) -> None:
        self.catalog = catalog or default_catalog()
        self.account = Account("alice")
        self.at = at
        self.log: list[Entry] = []
        if terms is not None:
            start, end = month_of(at)
            key = to_datetime(start).strftime("%Y-%m")
            self._append([PeriodRolled(key=key, start=start, end=end, terms=terms)], at)

    @property
    def now(self) -> int:
        """What the actor takes for now: time never runs backwards for a user."""
        return max(self.at, self.account.at)

    @property
    def current(self) -> Period:
        """The current period."""
        assert self.account.current is not None
        return self.account.current

    @property
    def usage(self) -> list[UsageRecorded]:
        """Every usage event of the log."""
        return [entry.event for entry in self.log if isinstance(entry.event, UsageRecorded)]

    def wake(self) -> list[Event]:
        """Let a boundary that has passed take effect, as every message does first."""
        return self._append(due(self.account, self.now, self.catalog), self.now)

    def track(self, provider: str = "openai", **fields: Any) -> TrackReply:
        """A call was made."""
        return self.take(a_track(provider, **fields))

    def take(self, call: Track) -> TrackReply:
        """A decoded ``track``."""
        self.wake()
        at = self.now
        before, event = changes.track(self.account, call, at, self.catalog)
        key = call.event_id or f"key-{len(self.log)}"
        personal = personal_of(call)
        return _TRACKED.decode(self._record(Recorded((*before, event)), key, personal))

    def do(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Any other change, decided as the actor does; its reply, also where it is refused."""
        self.wake()
        command = decode_command(verb, encode_reply(fields))
        if isinstance(command, Track):
            return _plain(encode_reply(self.take(command)))
        key = getattr(command, "event_id", None) or f"key-{len(self.log)}"
        decided = self._decide(command, key)
        if isinstance(decided, Refused):
            return _plain(decided.reply)
        return _plain(self._record(decided, key))

    def _decide(self, command: Any, key: str) -> Recorded | Refused:
        at, catalog = self.now, self.catalog
        decide: dict[type, Callable[..., Recorded | Refused]] = {
            Hold: lambda: holding.hold(self.account, command, at, catalog, key),
            Extend: lambda: holding.extend(self.account, command, at, catalog, key),
            Release: lambda: holding.release(self.account, command, at, catalog),
            Preflight: lambda: holding.preflight(self.account, command, at, catalog, key),
            Subscribe: lambda: subscribing.subscribe(self.account, command, at, catalog),
            Cancel: lambda: subscribing.cancel(self.account, command, at, catalog),
            Suspend: lambda: subscribing.suspend(self.account, command, catalog),
            Resume: lambda: subscribing.resume(self.account, command, catalog),
            Ack: lambda: ack(self.account, command, catalog),
        }
        return decide[type(command)]()

    def holds(self) -> HoldsReply:
        """The open holds."""
        return holding.holds(self.account, self.now)

    def reset(self, **fields: Any) -> ResetReply | None:
        """Start the counters again; None where all are zero."""
        self.wake()
        key = fields.get("event_id") or f"key-{len(self.log)}"
        decided = changes.reset(self.account, a_reset(**fields), self.now, self.catalog, key)
        if isinstance(decided, Refused):
            return None
        return _RESET.decode(self._record(decided, key))

    def enforce(self, provider: str = "openai", **fields: Any) -> EnforceReply:
        """May the call be made?"""
        self.wake()
        period = current_of(self.account, self.now, self.catalog)
        ask = an_enforce(provider, **fields)
        reply = enforcing.enforce(self.account, period, ask, self.now, self.catalog)
        return msgspec.json.decode(reply, type=EnforceReply)

    def stats(self, key: str | None = None) -> StatsReply:
        """The summary of the current period, or of one within the grace."""
        self.wake()
        ask = _command(Stats, "stats", {"billing_period": key})
        period = summaries.find_period(self.account, ask, self.now, self.catalog)
        assert period is not None
        return summaries.stats(self.account, period, self.now)

    def _record(self, recorded: Recorded, key: str, personal: Personal | None = None) -> bytes:
        """Apply and log a change; its encoded reply."""
        about = None if personal is None else encode_event(personal)
        self._append(recorded.events, self.now, key, about, recorded.keys)
        return answer(recorded.events[-1], key, self.account.seq, self.account.at)

    def _append(
        self,
        events: Sequence[Event],
        at: int,
        key: str | None = None,
        personal: str | None = None,
        keys: Sequence[str | None] = (),
    ) -> list[Event]:
        for index, event in enumerate(events):
            seq = (len(self.log) + 1) * STRIDE
            last = event is events[-1]
            body = encode_event(event)
            self.log.append(
                Entry(
                    seq,
                    key if last else (keys[index] if index < len(keys) else None),
                    KIND[type(event)],
                    at,
                    body,
                    personal if last else None,
                )
            )
            apply(self.account, event, at, seq)
        return list(events)


def _plain(reply: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(reply, parse_float=Decimal)
    return found
