"""Clients that use every verb of a user, repeat what failed, and now and then give up."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from messages.catalog import CATALOG_USER
from tests.sim.model.reference import DAY, SECOND
from tests.sim.world import drawn_prices, drawn_units
from tests.sim.world.drawn import (
    AGO,
    ALIAS,
    ARCHIVED,
    BUILTIN,
    IDS,
    LIMITS,
    MODELS,
    OUTCOMES,
    OWN,
    OWN_LIMITS,
    PAGES,
    PAGES_MAX,
    PLANS,
    PROVIDERS,
    TRIES_MAX,
    TTLS,
    WEIGHTS,
)
from tests.sim.world.history import READS, Book, Sent
from tests.sim.world.invariants import Invariant, Violated
from tests.sim.world.pagination import Walk
from tests.sim.world.service import NOT_NOW

ALL_IN: Final = 8
"""One of so many lists of prices may be that of all."""


class Client:
    """One client: it makes its calls one after the other."""

    def __init__(self, book: Book, number: int, rng: random.Random) -> None:
        self._book = book
        self._number = number
        self._rng = rng
        self._count = 0
        self._lists = 0
        self._user = ""

    async def run(self, calls: int) -> None:
        """Make so many calls."""
        book, rng = self._book, self._rng
        for count in range(calls):
            await book.pause(rng)
            self._user = rng.choice(book.users + 2 * book.users[:1])  # some meet at one user
            verb = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            if count == 0 and self._number < len(book.users) - 1:  # most have a plan
                self._user, verb = book.users[self._number], "subscribe"
            if verb.startswith("catalog."):
                self._user = CATALOG_USER
            sent = self._make(verb)
            if verb in PAGES:
                await self._walk(sent)
            else:
                await self._call(sent)

    async def _call(self, sent: Sent) -> None:
        book, rng = self._book, self._rng
        book.begin_asking(sent)
        how = rng.random()
        if how < 0.03 and sent.key is not None:
            if book.rig is not None:
                book.about_to_send(sent)
                sent.deliver(book.rig, reply="")
            book.lost(sent)
            return
        if how < 0.25 and sent.key is not None:
            other = replace(sent, codes=[]) if how < 0.10 else self._rival(sent)
            book.begin_asking(other)
            book.twins |= {(sent.user, key) for key, _, _ in (*sent.changes(), *other.changes())}
            await asyncio.gather(self._settle(sent), self._settle(other))
        else:
            await self._settle(sent)
        if sent.key is None or sent.codes[-1] or (sent.user, sent.key) not in book.replies:
            return
        if rng.random() < 0.15:
            await self._settle(sent, patient=True)
        if rng.random() < 0.07 and sent.user != CATALOG_USER:
            verb = "suspend" if sent.verb == "reset" else "reset"
            other = Sent(sent.user, verb, {"event_id": sent.key}, sent.key, other=True)
            book.begin_asking(other)
            await self._settle(other)

    async def _walk(self, sent: Sent) -> None:
        """Read page by page, to the end or until it is given up."""
        walk = Walk(sent.user, sent.body)
        self._book.walks.append(walk)
        for _ in range(PAGES_MAX):
            self._book.begin_asking(sent)
            await self._settle(sent)
            if sent.answer is None or sent.answer.code:
                return
            walk.pages.append(sent)
            cursor = sent.answer.body["next_cursor"]
            if cursor is None:
                return
            await self._book.pause(self._rng)
            sent = Sent(sent.user, sent.verb, {**walk.filters, "cursor": cursor})

    def _rival(self, sent: Sent) -> Sent:
        """The same wish under another key: two that want the same room, or to end one hold."""
        key, body = f"{sent.key}+", copy.deepcopy(sent.body)
        about = body["hold"] if sent.verb == "preflight" else body
        about["event_id"] = key
        self._note_holds(sent.user, sent.verb, key, body)
        return replace(sent, body=body, key=key, codes=[])

    def _note_holds(self, user: str, verb: str, key: str, body: dict[str, Any]) -> None:
        if verb == "hold":
            self._book.holds[user].append(key)
        elif verb == "preflight":
            self._book.holds[user] += [f"{key}.{n}" for n in range(len(body["operations"]))]

    async def _settle(self, sent: Sent, *, patient: bool = False) -> None:
        """Send it until it has an answer that a repetition would not change, or give up."""
        for _ in range(TRIES_MAX):
            answer = await self._book.try_once(sent)
            if answer is not None and answer.code not in NOT_NOW:
                sent.answer = answer
                return
            if sent.deadline is not None or (not patient and self._rng.random() < 0.07):
                return
            await self._book.back_off(answer, self._rng)
        raise Violated(Invariant.RECOVERS, (sent, "is answered so for ever"))

    def _make(self, verb: str) -> Sent:
        """A request with a body drawn for its verb."""
        rng, user = self._rng, self._user
        self._count += 1
        key = None if verb in READS else f"{self._number}.{self._count}"
        body: dict[str, Any] = _BODIES[verb](self) if verb in _BODIES else {}
        in_header = False
        if verb == "preflight":
            if rng.random() < 0.3:
                key = None
            else:
                body["hold"] = {"ttl": rng.choice(TTLS), "event_id": key}
        elif key is not None:
            body["event_id"] = key
            in_header = "source" not in body and rng.random() < 0.1
        if key is not None:
            self._note_holds(user, verb, key, body)
        deadline = None
        if rng.random() < 0.04 and verb != "rebuild":
            deadline = self._now + rng.choice([-1, 1]) * SECOND
        return Sent(user, verb, body, key, in_header, deadline)

    @property
    def _now(self) -> int:
        return self._book.clock.now()

    # -- bodies

    def _asked(self) -> dict[str, Any]:
        rng = self._rng
        drawn: dict[str, Callable[[], Any]] = {
            "tokens_requested": lambda: rng.randrange(300),
            "cost_requested": lambda: rng.randrange(3 * 10**7),
            "calls": lambda: rng.randint(1, 4),
            "model_used": lambda: rng.choice(MODELS),
            "tags": self._tags,
            "units_requested": lambda: drawn_units.of_a_call(rng),
        }
        return {
            "provider": rng.choice(PROVIDERS),
            **self._some(drawn),
            **drawn_prices.of_a_call(rng),
        }

    def _track(self) -> dict[str, Any]:
        rng = self._rng
        drawn: dict[str, Callable[[], Any]] = {
            "tokens_input": lambda: rng.randrange(300),
            "tokens_output": lambda: rng.randrange(300),
            "cost": lambda: rng.randrange(3 * 10**7),
            "model_used": lambda: rng.choice(MODELS),
            "timestamp": lambda: self._now - rng.choice(AGO) * SECOND,
            "hold_id": self._hold_id,
            "metadata": lambda: {"team": "a", "run": str(rng.randrange(9))},
            "outcome": lambda: rng.choice(OUTCOMES),
            "key": lambda: rng.choice(["k-1", "k-2"]),
            "tags": self._tags,
            "units": lambda: drawn_units.of_a_call(rng),
        }
        if rng.random() < 0.2:
            drawn["source"] = lambda: rng.choice(["/a", "/b"])
        return {
            "provider": rng.choice(PROVIDERS),
            **drawn_prices.of_a_call(rng),
            **self._some(drawn),
        }

    def _tags(self) -> dict[str, str]:
        names = self._rng.sample(["app", "team"], self._rng.randrange(3))
        return {name: self._rng.choice("ab") for name in names}

    def _some(self, drawn: dict[str, Callable[[], Any]]) -> dict[str, Any]:
        return {name: draw() for name, draw in drawn.items() if self._rng.random() < 0.4}

    def _batch(self) -> dict[str, Any]:
        book, rng = self._book, self._rng
        events: list[dict[str, Any]] = []
        for index in range(rng.randrange(6)):
            event, how = self._track(), rng.random()
            if how < 0.3:
                event["event_id"] = f"own.{self._number}.{self._count}.{index}"
            elif how < 0.4 and events:
                event = dict(rng.choice(events))  # its key may be taken just before
            elif how < 0.5:
                event["provider"] = "No Body"
            elif how < 0.6:  # what came before, by itself or in another batch
                tracks = [
                    body
                    for (user, key), (verb, body) in book.asked.items()
                    if user == self._user and verb == "track" and (user, key) in book.replies
                ]
                event = dict(rng.choice(tracks)) if tracks else event
            if "event_id" not in event:
                event.pop("source", None)  # a CloudEvent has an id
            events.append(event)
        return {"events": events}

    def _preflight(self) -> dict[str, Any]:
        return {"operations": [self._asked() for _ in range(self._rng.randint(1, 3))]}

    def _hold(self) -> dict[str, Any]:
        return {**self._asked(), "ttl": self._rng.choice(TTLS)}

    def _hold_id(self) -> str:
        """Something that may be a hold, mostly one of the newest."""
        rng, known = self._rng, self._book.holds[self._user]
        if not known or rng.random() < 0.03:
            return "never"
        return rng.choice(known[-rng.choice([2, 8, 64]) :])

    def _extend(self) -> dict[str, Any]:
        rng = self._rng
        drawn: dict[str, Callable[[], Any]] = {
            "ttl": lambda: rng.choice(TTLS),
            "tokens_requested": lambda: rng.randrange(300),
            "cost_requested": lambda: rng.randrange(3 * 10**7),
            "units_requested": lambda: drawn_units.of_a_call(rng, least=1),
        }
        return {"hold_id": self._hold_id(), **self._some(drawn)}

    def _ack(self) -> dict[str, Any]:
        rng, known = self._rng, self._book.alerts[self._user]
        if rng.random() < 0.3:
            return {"all": True}
        ids = rng.sample(known, min(len(known), rng.randrange(4)))
        return {"ids": ids + (["never"] if rng.random() < 0.05 else [])}

    def _logs(self) -> dict[str, Any]:
        rng = self._rng
        drawn: dict[str, Callable[[], Any]] = {
            "limit": lambda: rng.randint(1, 9),
            "provider": lambda: rng.choice(IDS),
            "billing_period": self._period,
        }
        labels: dict[str, Callable[[], Any]] = {
            "model_used": lambda: rng.choice(MODELS),
            "outcome": lambda: rng.choice(OUTCOMES),
            "key": lambda: rng.choice(["k-1", "k-2"]),
            "tags": self._tags,
        }
        found = self._some(drawn)
        if rng.random() < 0.3:
            found |= self._some(labels)
        if rng.random() < 0.2:
            found["since"] = self._now - rng.choice(AGO) * SECOND
        return found

    def _period(self) -> str:
        known = self._book.periods[self._user]
        return self._rng.choice([*known, "2026-03", "2026-04"])

    def _stats(self) -> dict[str, Any]:
        return {"billing_period": self._period()} if self._rng.random() < 0.5 else {}

    def _plan(self) -> dict[str, Any]:
        rng = self._rng
        names = rng.sample([*LIMITS, *OWN_LIMITS], rng.randrange(1, 5))
        name, tier = rng.choice([*PLANS, ("Basic", "team")])
        return {
            "name": name,
            "tier": tier,
            "price_monthly": rng.choice([0, 29, 79]),
            "price_yearly": rng.randrange(1000),
            "limits": {name: rng.randrange(12) for name in names},
            "features": rng.sample(["a", "b"], rng.randrange(3)),
        }

    def _price(self) -> dict[str, Any]:
        rng = self._rng
        return {"provider": rng.choice(PROVIDERS), **drawn_prices.to_put(rng, self._now)}

    def _cancel_price(self) -> dict[str, Any]:
        asked = self._book.asked.values()
        put = [body for verb, body in asked if verb == "catalog.prices.put"]
        return drawn_prices.to_cancel(self._rng, put, self._now)

    def _prices(self) -> dict[str, Any]:
        drawn: dict[str, Callable[[], Any]] = {
            "provider": lambda: self._rng.choice(BUILTIN),
            "model": lambda: self._rng.choice(MODELS),
        }
        found = self._some(drawn)
        self._lists += 1
        if self._lists % ALL_IN:  # all are two thousand, and are made anew in each process
            found.setdefault("provider", BUILTIN[self._lists % len(BUILTIN)])
        return found

    def _estimate(self) -> dict[str, Any]:
        wanted = self._track()
        names = ("provider", "tokens_input", "tokens_output", "model_used", "price_variant")
        found = {name: wanted[name] for name in names if name in wanted}
        return {**found, "provider": self._rng.choice(IDS)}

    def _provider(self) -> dict[str, Any]:
        rng, name = self._rng, self._rng.choice([*OWN, *OWN, "exa", "openai"])
        drawn: dict[str, Callable[[], Any]] = {
            "default_model": lambda: rng.choice(MODELS),
            "served_by": lambda: rng.choice(["rack", "wavespeed"]),
            "aliases": lambda: rng.choice([[], [ALIAS], [ALIAS], ["vllm"]]),
        }
        if name in OWN:
            drawn["groups"] = lambda: rng.choice([[], ["ai_text_generation"]])
            drawn["detect"] = lambda: [{"actual": "azure", "model": ["gpt-*"], "endpoint": []}]
        return {"id": name, **self._some(drawn)}

    def _subscribe(self) -> dict[str, Any]:
        rng = self._rng
        names = rng.sample(LIMITS, rng.randrange(4))
        drawn: dict[str, Callable[[], Any]] = {
            "auto_renew": lambda: rng.random() < 0.5,
            "period": lambda: rng.choice(["keep", "new"]),
            "period_start": lambda: self._now - rng.choice([0, 1, 40, 360]) * DAY,
        }
        return {
            "plan": rng.choice(["Free", "Basic", "Pro", "team", "Enterprise", "Enterprise"]),
            "billing_cycle": rng.choice(["monthly", "yearly"]),
            "overrides": {name: rng.choice([None, *range(12)]) for name in names},
            **self._some(drawn),
        }


_BODIES: Final[dict[str, Callable[[Client], dict[str, Any]]]] = {
    "track": Client._track,
    "batch": Client._batch,
    "hold": Client._hold,
    "extend": Client._extend,
    "release": lambda client: {"hold_id": client._hold_id()},
    "preflight": Client._preflight,
    "enforce": Client._asked,
    "ack": Client._ack,
    "subscribe": Client._subscribe,
    "cancel": lambda client: {"at_period_end": client._rng.random() < 0.5},
    "alerts": lambda client: {"unread_only": client._rng.random() < 0.5},
    "trends": lambda client: {"months": client._rng.randint(1, 12)},
    "stats": Client._stats,
    "logs": Client._logs,
    "catalog.plans.put": Client._plan,
    "catalog.prices.put": Client._price,
    "catalog.prices.cancel": Client._cancel_price,
    "catalog.units.put": lambda client: drawn_units.to_put(client._rng),
    "catalog.units.archive": lambda client: drawn_units.to_archive(client._rng),
    "catalog.providers.put": Client._provider,
    "catalog.providers.archive": lambda client: {"id": client._rng.choice(ARCHIVED)},
    "catalog.prices.list": Client._prices,
    "catalog.estimate.cost": Client._estimate,
    "catalog.users.list": lambda client: {"limit": client._rng.randint(1, 3)},
}
