"""One user's metering without I/O: the pure rules, run in the order in which the actor does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec.structs import astuple

from actors.billing.admission import holds as holding
from actors.billing.admission.decide import Decision, enforce
from actors.billing.catalog.catalog import Catalog, Plan
from actors.billing.catalog.defaults import default_catalog
from actors.billing.catalog.prices import Price
from actors.billing.change import Change, Now
from actors.billing.changes import CHANGES
from actors.billing.effects import Effect, Persist, Reply
from actors.billing.periods.calendar import month_of
from actors.billing.periods.rollover import due
from actors.billing.reports import stats as summaries
from actors.billing.state.account import Account, Period
from actors.billing.state.apply import apply
from actors.billing.state.headroom import Headrooms
from actors.billing.usage import track as changes
from actors.billing.usage.privacy import personal_of
from actors.billing.wire import fast
from messages.admission import Enforce, EnforceReply, HoldsReply
from messages.codec import decode_command, decode_event, encode_event, encode_reply
from messages.dimensions import Counts
from messages.reports import Logs, Stats, StatsReply
from messages.stored.catalog import PlanTerms
from messages.stored.events import (
    KIND,
    Event,
    PeriodRolled,
    UsageRecorded,
)
from messages.units import to_datetime, to_micros
from messages.usage import COUNTS, Reset, ResetReply, Track, TrackReply
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


def said(call: Track) -> Counts:
    """The counts of a call."""
    counts: Counts = astuple(call)[COUNTS]
    return counts


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
        self.headrooms = Headrooms()
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
        about = None if personal is None else encode_event(personal)
        self._append((*before, event), at, key, about)
        return _TRACKED.decode(fast.tracked(event, key, self.account.seq))

    def do(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Any other change, decided as the actor does; its reply, also if it is refused."""
        self.wake()
        command = decode_command(verb, encode_reply(fields))
        if isinstance(command, Track):
            return _plain(encode_reply(self.take(command)))
        key = getattr(command, "event_id", None) or f"key-{len(self.log)}"
        return _plain(self.decide(command, key))

    def decide(self, command: Any, key: str) -> bytes:
        """Take a change other than a ``track``; its encoded reply."""
        effect = self.effect_of(command, key)
        if isinstance(effect, Reply):
            return fast.reply(effect.shown, effect.key, self.account.seq)
        return self._record(effect, key, CHANGES[type(command)])

    def effect_of(self, command: Any, key: str) -> Effect:
        """What a change comes to, without letting it happen."""
        change = CHANGES[type(command)]
        now = Now(change, self.now, key, self.catalog, self.headrooms)
        return change.decide(self.account, command, now)

    def holds(self) -> HoldsReply:
        """The open holds."""
        return holding.holds(self.account, self.now)

    def reset(self, **fields: Any) -> ResetReply | None:
        """Start the counters again; None if all are zero."""
        self.wake()
        key = fields.get("event_id") or f"key-{len(self.log)}"
        reply = _RESET.decode(self.decide(a_reset(**fields), key))
        return reply if reply.reset else None

    def enforce(self, provider: str = "openai", **fields: Any) -> EnforceReply:
        """May the call be made?"""
        decision = self.judge(provider, **fields)
        return msgspec.json.decode(fast.enforced(decision, self.account.seq), type=EnforceReply)

    def judge(self, provider: str = "openai", **fields: Any) -> Decision:
        """The decision behind `enforce`."""
        self.wake()
        ask = an_enforce(provider, **fields)
        return enforce(self.account, ask, self.now, self.catalog, self.headrooms)

    def stats(self, key: str | None = None) -> StatsReply:
        """The summary of the current period, or of one within the grace."""
        self.wake()
        ask = _command(Stats, "stats", {"billing_period": key})
        period = summaries.find_period(self.account, ask, self.now, self.catalog)
        assert period is not None
        return summaries.stats(self.account, period, self.now)

    def _record(self, effect: Persist, key: str, change: Change) -> bytes:
        """Apply and log a change; its encoded reply."""
        self._append(effect.events, self.now, key, None, effect.keys)
        last = effect.events[-1]
        shown = effect.shown or change.reply(last, self.account.at)
        return fast.reply(shown, key, self.account.seq)

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
