"""The catalogue over a life: what each change made of it, and what was shown of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple

from messages.catalog import CATALOG_USER
from messages.codec import decode_catalog_event
from messages.stored.catalog import PricePut, ProviderPut
from persistence.records import Row
from tests.sim.model.catalogue import UNIT_CHANGES, Catalogue, price_shown
from tests.sim.model.reference import Refused
from tests.sim.model.user import Model
from tests.sim.model.wire import nano
from tests.sim.world.history import Book, Sent
from tests.sim.world.service import NOT_NOW
from tests.support.meter import micros

PAGE_BYTES = 700_000
"""A page of a list that goes on is larger than this."""


class Made(NamedTuple):
    """A catalogue, the position that it is there from, and when it was made."""

    seq: int
    at: int
    catalogue: Catalogue


class Catalogs:
    """The catalogue by position, made again from what was asked.

    Attributes:
        made: each catalogue, the oldest first.
    """

    def __init__(self, book: Book, rows: list[Row]) -> None:
        self._book = book
        self.made = [Made(0, 0, Catalogue())]
        for row in rows:
            if row.user != CATALOG_USER:
                continue
            if row.key is None:
                event = decode_catalog_event(row.kind, row.body)
                assert isinstance(event, ProviderPut), row
                made = self.made[-1].catalogue.registered(event.id)
                self.made.append(Made(row.seq, row.at, made))
                continue
            verb, body = book.asked[CATALOG_USER, row.key]
            made = self.made[-1].catalogue.put(verb, body, self._time_of(row))
            self.made.append(Made(row.seq, row.at, made))
            reply = book.replies.get((CATALOG_USER, row.key))
            if reply is not None:
                found, wanted = shown(verb, reply), made.told(verb, body)
                assert found == wanted, (verb, body, found, wanted)

    def _time_of(self, row: Row) -> int:
        """When a change was made, by the clock, which may have been behind the row before."""
        event = decode_catalog_event(row.kind, row.body)
        shown = self._book.readings.get((CATALOG_USER, row.key or ""), {row.at})
        if isinstance(event, PricePut) and event.effective_from in shown:
            return event.effective_from
        return min(shown)  # it was tried more than once, perhaps

    def between(self, low: int, high: int) -> list[Catalogue]:
        """Those that may be in force if ``low`` is and what is behind ``high`` is not."""
        return [made.catalogue for made in self._between(low, high)]

    def _between(self, low: int, high: int) -> list[Made]:
        first = max(place for place, made in enumerate(self.made) if made.seq <= low)
        return [made for made in self.made[first:] if made.seq <= max(low, high)]

    def check(self) -> int:
        """Compare all that was shown; how many answers there were."""
        compared = 0
        for sent in self._book.sent:
            answer = sent.answer
            if sent.user != CATALOG_USER or answer is None or sent.at is None:
                continue
            if answer.code in NOT_NOW or sent.other or sent.verb == "catalog.users.list":
                continue
            if answer.code:
                assert self._refused(sent), (sent, "is refused at no place")
            elif sent.key is None:
                (made,) = self._between(answer.body["seq"], answer.body["seq"])
                found = shown(sent.verb, answer.payload)
                wanted = made.catalogue.ask(sent.verb, sent.body, sent.at)
                if sent.verb == "catalog.prices.list" and answer.body["next_cursor"] is not None:
                    assert len(answer.payload) > PAGE_BYTES, sent  # as many as fit
                    wanted = wanted[: len(found)]
                assert found == wanted, (sent.body, found, wanted)
            compared += 1
        return compared

    def _refused(self, sent: Sent) -> bool:
        """Whether a change is none for one of the catalogues that there may have been."""
        assert sent.answer is not None
        error = sent.answer.error
        for made in self._between(sent.low, sent.high):
            try:
                made.catalogue.put(sent.verb, sent.body, sent.at or made.at)
            except Refused as refused:
                if refused.args == (error["code"], error["field"]):
                    return True
        return False


def check_entry(entry: dict[str, Any], model: Model, at: int) -> None:
    """What the list of users says of one is what its summary says."""
    stats = model.ask("stats", {}, max(at, model.now))
    names = ("billing_period", "usage_status", "total_calls", "total_tokens", "plan")
    for name in names:
        assert entry[name] == stats[name], (entry, name, stats[name])
    assert nano(entry["total_cost"]) == stats["total_cost"], (entry, stats)


def shown(verb: str, payload: bytes) -> Any:
    """A reply as the model gives it."""
    return _SHOWN[verb](json.loads(payload, parse_float=Decimal))


def _estimate(body: dict[str, Any]) -> Any:
    money = {name: nano(body[name]) for name in ("cost", "cost_input", "cost_output")}
    names = ("priced", "price_model", "matched_by", "variant_priced", "tier")
    return {
        **money,
        **{name: body[name] for name in names},
        "unpriced": sorted(body["unpriced"]),
    }


def _plan(plan: dict[str, Any]) -> Any:
    limits = {name: Fraction(str(value)) for name, value in plan["limits"].items()}
    amounts = [Fraction(str(plan[name])) for name in ("price_monthly", "price_yearly")]
    return plan["name"], plan["tier"], amounts, limits, plan["features"], plan["version"]


def _provider(row: dict[str, Any]) -> Any:
    names = ("id", "kind", "default_model", "served_by", "archived", "registered", "version")
    detect = [each["actual"] for each in row["detect"]]
    return [row[name] for name in names], [row["aliases"], row["groups"]], detect


def _price(row: dict[str, Any]) -> Any:
    return price_shown({**row, "effective_from": micros(row["effective_from"])})


def _cancelled(body: dict[str, Any]) -> Any:
    return body["model"], body["variant"], micros(body["effective_from"]), body["version"]


_SHOWN: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "catalog.plans.put": lambda body: _plan(body["plan"]),
    "catalog.plans.list": lambda body: [_plan(plan) for plan in body["plans"]],
    "catalog.prices.put": lambda body: _price(body["price"]),
    "catalog.prices.cancel": _cancelled,
    "catalog.prices.list": lambda body: [_price(row) for row in body["prices"]],
    "catalog.providers.put": lambda body: _provider(body["provider"]),
    "catalog.providers.archive": lambda body: (body["id"], body["version"]),
    "catalog.providers.list": lambda body: [_provider(row) for row in body["providers"]],
    "catalog.units.list": lambda body: [unit for unit in body["units"] if not unit["builtin"]],
    **dict.fromkeys(UNIT_CHANGES, lambda body: body["unit"]),
    "catalog.estimate.cost": _estimate,
}
