"""One user's history, judged as if everything had happened one after the other.

The log says which changes happened and in which order. The model of the contract makes them
again, and every answer that was given has to be the one that the model gives at its place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from messages.codec import decode_event
from messages.stored.catalog import PlanTerms
from messages.stored.events import (
    HoldExtended,
    HoldPlaced,
    PeriodAdded,
    PeriodRolled,
    PreflightHeld,
    Subscribed,
    SubscriptionChanged,
    UsageRecorded,
)
from persistence.records import Row
from tests.sim.model import reference as r
from tests.sim.model.comparing import differences
from tests.sim.model.reference import Refused
from tests.sim.model.user import Model
from tests.sim.model.wire import nano
from tests.sim.world.catalogs import Catalogs
from tests.sim.world.history import Book, Sent
from tests.sim.world.invariants import Invariant, Violated
from tests.sim.world.service import NOT_NOW
from tests.support.rig import Answer

GRANTS = ("hold", "extend", "preflight")
MONEY = frozenset(
    {
        *("cost", "cost_input", "cost_output", "cost_catalog", "total_cost", "projected_cost"),
        *("held", "by_provider", "by_actual", "by_model"),
    }
)
"""Where amounts of money stand."""
ROOM = frozenset(
    {
        *("limits", "allowed", "reason_code", "violated", "hold_id", "expires_at"),
        *("operations", "failed_index"),
    }
)
"""What follows from limit, used and held."""


class Serial:
    """The history of one user."""

    def __init__(self, book: Book, user: str, rows: list[Row], catalogs: Catalogs) -> None:
        self._book = book
        self._catalogs = catalogs
        self._catalog = 0  # what had taken effect before the row of the moment, surely
        self._user = user
        self._rows = rows
        self.model = Model()
        self._terms: PlanTerms | None = None
        self._added: dict[str, PlanTerms] = {}
        self._at = 0
        self._alerts: dict[str, int] = {}  # the model's places of the alerts by id
        self._made: set[str] = set()
        placed = [s for s in book.sent if s.user == user and s.answer and s.at is not None]
        self._reads: dict[int, list[Sent]] = {}
        self._errors: list[Sent] = []
        for sent in placed:
            assert sent.answer is not None
            body = sent.answer.body
            if sent.answer.code in NOT_NOW or sent.verb == "rebuild":
                continue
            if sent.answer.code:
                self._errors.append(sent)
            elif not sent.codes[-1] and self._shows_state(sent, body):
                self._reads.setdefault(body["seq"], []).append(sent)

    @staticmethod
    def _shows_state(sent: Sent, body: dict[str, Any]) -> bool:
        """Whether a reply is not that of a change, which is compared where its row is."""
        no = body.get("allowed") is False or body.get("reset") is False
        return no or sent.key is None

    def check(self) -> int:
        """Make everything again and compare; how many answers were compared."""
        compared = self._look(0, self._rows[0] if self._rows else None)
        for place, row in enumerate(self._rows):
            self._at = row.at
            key = row.key
            if key is not None and (self._user, key) in self._book.asked:
                compared += self._change(row, key)
            elif row.kind == "period_rolled":
                self._ask("stats", {}, row, lambda _: {})
            else:  # the holds of a preflight have keys, and are made with its own row
                assert key is None or row.kind == "hold", row
                if row.kind == "period_added":
                    added = decode_event(row.kind, row.body)
                    assert isinstance(added, PeriodAdded)
                    self._added[added.key] = added.terms
            following = self._rows[place + 1] if place + 1 < len(self._rows) else None
            compared += self._look(row.seq, following)
        missing = {key for user, key in self._book.replies if user == self._user} - self._made
        assert not missing, (self._user, "was acknowledged and is lost", missing)
        assert not self._errors, (self._user, "is refused at no place", self._errors[0])
        return compared

    def _change(self, row: Row, key: str) -> int:
        """Make one change of the log again."""
        assert key not in self._made, (row, "is there twice")
        self._made.add(key)
        verb, body = self._book.asked[self._user, key]
        if verb == "track":
            self._check_provider(row)
        alerts, held = len(self.model.alerts), self._held()
        reply = self._book.replies.get((self._user, key))
        self._catalog = max(self._catalog, self._book.catalogs[self._user, key])

        def wrong(expected: dict[str, Any]) -> dict[str, Any]:
            if reply is None:  # of unknown outcome, and it happened
                return {}
            return differences(verb, Answer("", reply, None), {**expected, "duplicate": True})

        self._ask(verb, self._told(verb, body), row, wrong)
        assert key in self.model.keys, (row, "is what the rules refuse")
        if verb in GRANTS:
            self._check_room(held)
        self._place_alerts(row, alerts)
        return 0 if reply is None else 1

    def _ask(
        self,
        verb: str,
        body: dict[str, Any],
        row: Row,
        wrong: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:
        """Make a row's change in the model, under the catalogue that was in force.

        A change of the catalogue takes effect when it is durable, at a moment that no position
        tells: it was one of a few. So is what the clock showed, if the user was ahead of it.
        """
        event = decode_event(row.kind, row.body)
        if isinstance(event, PeriodRolled | Subscribed | SubscriptionChanged):
            self._terms = event.terms or self._terms
        made = self._catalogs.between(self._catalog, row.seq)[::-1]
        shown = self._book.readings.get((self._user, row.key or ""), {row.at})
        worlds = list(product(made, sorted({max(row.at - clock, 0) for clock in shown})))
        tried: list[Any] = []
        for catalogue, ahead in worlds:
            model = self.model if len(worlds) == 1 else copy.deepcopy(self.model)
            model.catalogue = catalogue
            try:
                found = wrong(model.ask(verb, body, row.at, ahead)) or stored_otherwise(
                    model, row, self._terms, self._added
                )
            except Refused as refused:  # in this world; it was another one, perhaps
                found = {"refused": refused.args}
            if not found:
                self.model = model
                return
            tried.append(found)
        raise otherwise((self._user, verb, body, row, tried), tried)

    def _look(self, seq: int, following: Row | None) -> int:
        """Compare what was read between a row and the one that follows it."""
        reads = self._reads.get(seq, [])
        reads.sort(key=lambda sent: sent.at or 0)
        compared = 0
        for sent in reads:
            at = max(self._at, sent.at or 0)
            if following is not None and at > following.at:
                continue  # the clock went back: time of the model must not
            self._read(sent, at)
            compared += 1
        end = self._book.last_seq + 1 if following is None else following.seq
        for sent in list(self._errors):
            if seq <= sent.high and sent.low < end and self._refuses(sent):
                self._errors.remove(sent)
                compared += 1
        return compared

    def _read(self, sent: Sent, at: int) -> None:
        """Compare one read, under a catalogue that was in force."""
        assert sent.answer is not None
        told, tried = self._told(sent.verb, sent.body), []
        low = max(self._catalog, sent.catalog)
        for catalogue in self._catalogs.between(low, sent.high):
            self.model.catalogue = catalogue
            try:
                expected = self.model.ask(sent.verb, told, at)
            except Refused as refused:  # in this world; it was another one, perhaps
                tried.append({"refused": refused.args})
                continue
            if sent.key is not None:
                expected = {"duplicate": False, **expected}
            wrong = differences(sent.verb, sent.answer, expected)
            if not wrong:
                return
            tried.append(wrong)
        raise otherwise((self._user, sent, tried), tried)

    def _refuses(self, sent: Sent) -> bool:
        """Whether the model answers the same error here."""
        assert sent.answer is not None
        low = max(self._catalog, sent.catalog)
        for catalogue in self._catalogs.between(low, sent.high):
            model = copy.deepcopy(self.model)
            model.catalogue = catalogue
            try:
                at = max(self._at, sent.at or 0)
                ahead = at - ((sent.at or at) - sent.ahead)
                model.ask(sent.verb, self._told(sent.verb, sent.body), at, ahead)
            except Refused as error:
                if not differences(sent.verb, sent.answer, ("error", *error.args)):
                    return True
        return False

    def _told(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        """A body as the model takes it: it knows alerts by their place."""
        if verb != "ack" or "ids" not in body:
            return body
        # Of one that is not raised yet the model knows nothing.
        which = [self._alerts.get(name, -1) for name in body["ids"]]
        told = {"which": which, "event_id": body["event_id"]}
        if -1 in which and body["event_id"] not in self.model.keys:
            raise Refused("unknown_alert", "ids")
        return told

    def _place_alerts(self, row: Row, before: int) -> None:
        """Find the alerts of a row among those that the model raised for it."""
        fresh = {
            (alert["limit_name"], alert["threshold_percentage"]): before + place
            for place, alert in enumerate(self.model.alerts[before:])
        }
        raised = getattr(decode_event(row.kind, row.body), "alerts", ())
        found = {(alert.limit_name, alert.threshold_percentage): alert.id for alert in raised}
        assert set(found) == set(fresh), (row, "raises other alerts than the rules")
        self._alerts |= {name: fresh[kind] for kind, name in found.items()}

    def _check_provider(self, row: Row) -> None:
        """No call is stored before its provider is."""
        event = decode_event(row.kind, row.body)
        (catalogue,) = self._catalogs.between(row.seq, row.seq)
        assert isinstance(event, UsageRecorded), row
        assert event.provider in catalogue.providers, (row, "has a provider that is not there")

    def _held(self) -> dict[str, int]:
        current = self.model.current
        if current is None:
            return {}
        return {x["name"]: self.model._held(x) for x in r.limits_of(current.plan)}

    def _check_room(self, before: dict[str, int]) -> None:
        """No hold sets aside what a hard limit has not got."""
        current = self.model.current
        assert current is not None
        for limit in r.limits_of(current.plan):
            held = self.model._held(limit)
            if limit["hard"] and not limit["off"] and held > before.get(limit["name"], 0):
                used = r.amount(limit, current.counted())
                assert used + held <= limit["value"], (self._user, limit, used, held)


def otherwise(what: object, tried: list[dict[str, Any]]) -> Violated:
    """What to raise if no catalogue makes the model agree.

    ``tried`` is what differed under each.
    """
    for invariant, names in ((Invariant.EXACT_MONEY, MONEY), (Invariant.ADDS_UP, ROOM)):
        if all(set(wrong) <= names for wrong in tried):
            return Violated(invariant, what)
    return Violated(Invariant.CONTRACT, what)


def stored_otherwise(
    model: Model, row: Row, terms: PlanTerms | None, added: Mapping[str, PlanTerms]
) -> dict[str, Any]:
    """What a row has of the catalogue, if the model has other amounts.

    ``terms`` are those of the current period by the log; a period that the change behind its
    row opens is none of the model yet. ``added`` has those of periods that late calls made known.
    """
    event = decode_event(row.kind, row.body)
    found: dict[str, Any] = {}
    if isinstance(event, UsageRecorded):
        period = next(p for p in model.periods if p.key == event.billing_period)
        call = period.calls[-1]
        found["cost"] = event.cost_nano, call.cost
        found["names"] = names_of(event), (call.provider, call.actual, call.model)
        found["text"] = of_text(event), call.text
        of_added = added.get(event.billing_period)
        if of_added is not None:
            found["added"] = limits_of(of_added), named_limits(period.plan)
    elif isinstance(event, HoldPlaced | HoldExtended):
        held = next(hold for hold in model.holds if hold.id == event.hold_id)
        found["held"] = event.cost_nano, held.call.cost
        if isinstance(event, HoldPlaced):
            call = held.call
            found["names"] = names_of(event), (call.provider, call.actual, call.model)
            found["text"] = of_text(event), call.text
    elif isinstance(event, PreflightHeld):
        holds = model.holds[-len(event.operations) :]
        found["held"] = [op.cost_nano for op in event.operations], [h.call.cost for h in holds]
        calls = [(h.call.provider, h.call.actual, h.call.model) for h in holds]
        found["names"] = [*map(names_of, event.operations)], calls
        found["text"] = [*map(of_text, event.operations)], [h.call.text for h in holds]
    elif isinstance(event, Subscribed):  # its terms may be those of two catalogues
        assert model.sub is not None
        found["price"] = event.subscription.price_nano, nano(model.sub["price"])
    current = model.current
    opened = isinstance(event, PeriodRolled) and (current is None or current.key != event.key)
    if terms is not None and current is not None and not opened:
        found["terms"] = limits_of(terms), named_limits(current.plan)
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def names_of(event: UsageRecorded | HoldPlaced) -> tuple[str, str, str]:
    """What the names of a stored call came to."""
    return event.provider, event.actual, event.model


def of_text(event: UsageRecorded | HoldPlaced) -> bool:
    """Whether a stored call counts in the limit of the text group."""
    return event.provider in r.TEXT or (event.detail is not None and event.detail.text)


def limits_of(terms: PlanTerms) -> tuple[str, dict[str, int]]:
    """The name and the limits of terms that are stored."""
    return terms.name, dict(terms.limits)


def named_limits(plan: dict[str, Any]) -> tuple[str, dict[str, int]]:
    """As `limits_of`, of a plan of the model."""
    limits = {name: r.value_of(name, value) for name, value in plan["limits"].items()}
    return plan["name"], limits
