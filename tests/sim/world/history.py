"""What clients sent and what they were told, judged as they are told it."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec

from messages.catalog import CATALOG_USER
from messages.subjects import PREFIX, request_subject
from messages.usage import BatchReply
from tests.sim.model.periods import moment
from tests.sim.model.wire import encoded
from tests.sim.world.invariants import Invariant, judging
from tests.sim.world.service import NOT_NOW, PATIENCE_S, World
from tests.support.rig import Answer, Rig

LOST: Final = "lost"
"""The service ended without an answer, or was asked for none."""
REFUSED: Final = "refused"
"""A reply that says no: nothing happened and the key is not used up."""
MAY_HAVE_HAPPENED: Final = frozenset({"", LOST, "outcome_unknown"})
READS: Final = frozenset(
    {
        *("enforce", "stats", "holds", "trends", "subscription", "alerts", "logs", "dashboard"),
        *("catalog.plans.list", "catalog.prices.list", "catalog.providers.list"),
        *("catalog.units.list", "catalog.estimate.cost", "catalog.users.list", "rebuild"),
    }
)
_ASKED: Final = frozenset({"invalid_request", "unknown_provider", "unknown_unit"})
FINAL_ERRORS: Final[dict[str, AbstractSet[str]]] = {
    "stats": {"unknown_period"},
    "catalog.plans.put": {"invalid_request"},
    "catalog.prices.put": {"invalid_request", "unknown_provider"},
    "catalog.prices.cancel": {"invalid_request", "unknown_price", "unknown_provider"},
    "catalog.providers.put": {"invalid_request"},
    "catalog.providers.archive": {"unknown_provider"},
    "catalog.estimate.cost": {"invalid_request"},
    "catalog.units.put": {"invalid_request"},
    "catalog.units.archive": {"unknown_unit"},
    "track": {"timestamp_out_of_range", *_ASKED},
    **dict.fromkeys(("enforce", "hold", "preflight"), _ASKED),
    "extend": {"invalid_request", "unknown_hold", "unknown_unit"},
    "release": {"unknown_hold"},
    "ack": {"unknown_alert"},
    "subscribe": {"invalid_request", "unknown_plan"},
    "cancel": {"invalid_request"},
}
BAD_EVENTS: Final = frozenset(
    {"", "unknown_provider", "unknown_unit", "timestamp_out_of_range", "invalid_request"}
)
"""How one event of a batch may end."""
MISMATCH: Final = "idempotency_mismatch"
LOST_REQUESTS: Final = 0.01
LOST_ANSWERS: Final = 0.02
"""How often one is lost on its way."""


@dataclass
class Sent:
    """One request and what came of it, over all its repetitions.

    Attributes:
        body: as the model has it, with its key.
        in_header: the key travels as a header.
        deadline: of the request, if any.
        other: its key was used before, for something else.
        codes: how each sending ended: an error's code, "" for a change that happened or a read.
        answer: the one that settled it.
        low, high: the newest positions that were known when the answered one was sent, and
            durable when its answer came.
        durable: what was durable when it was sent.
        catalog: the newest change of the catalogue that had taken effect by then, surely.
        at: what time it was for the user meanwhile; None if the clock moved.
        ahead: how far that is ahead of the clock.
    """

    user: str
    verb: str
    body: dict[str, Any]
    key: str | None = None
    in_header: bool = False
    deadline: int | None = None
    other: bool = False
    codes: list[str] = field(default_factory=list)
    answer: Answer | None = None
    low: int = 0
    high: int = 0
    durable: int = 0
    catalog: int = 0
    at: int | None = None
    ahead: int = 0

    def deliver(self, rig: Rig, reply: str | None = None) -> str:
        """Send it; where its answer goes."""
        if self.verb == "rebuild":
            return rig.rebuild(self.user)
        body, headers = dict(self.body), b""
        if self.in_header:
            headers = f"NATS/1.0\r\nNats-Msg-Id: {body.pop('event_id')}\r\n\r\n".encode()
        if self.deadline is not None:
            body["deadline"] = moment(self.deadline).isoformat()
        if self.verb == "track":
            body = enveloped(body)
        elif self.verb == "batch":
            body["events"] = [enveloped(event) for event in body["events"]]
        subject = f"{PREFIX}.{self.verb}"
        if self.user != CATALOG_USER:
            subject = request_subject(PREFIX, self.verb, self.user)
        return rig.deliver(subject, encoded(body), headers=headers, reply=reply)

    def changes(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Key, verb and body of each change that it asks for."""
        if self.verb == "batch":
            for index, event in enumerate(self.body["events"]):
                key = event.get("event_id") or f"{self.key}.{index}"
                yield key, "track", {**event, "event_id": key}
        elif self.key is not None:
            yield self.key, self.verb, self.body

    def outcomes(self, answer: Answer) -> Iterator[tuple[str, str, bytes]]:
        """For each change its key, how it went, and the reply as a repetition gets it."""
        keys = [key for key, _, _ in self.changes()]
        if self.verb == "batch" and not answer.code:
            results = msgspec.json.decode(answer.payload, type=BatchReply).results
            for key, result in zip(keys, results, strict=True):
                error = msgspec.json.decode(result).get("error")
                yield key, error["code"] if error else "", again(bytes(result))
            return
        body = answer.body
        no = body.get("allowed") is False or body.get("reset") is False
        for key in keys:
            yield key, answer.code or (REFUSED if no else ""), again(answer.payload)


def enveloped(body: dict[str, Any]) -> dict[str, Any]:
    """A call as it is sent: one with a source is a CloudEvent."""
    if "source" not in body or "event_id" not in body:
        return {name: value for name, value in body.items() if name != "source"}
    about = {"source", "event_id", "deadline"}
    data = {name: value for name, value in body.items() if name not in about}
    if "deadline" in body:
        data["deadline"] = body["deadline"]
    envelope = {"specversion": "1.0", "id": body["event_id"], "type": "usage"}
    return {**envelope, "source": body["source"], "data": data}


def again(payload: bytes) -> bytes:
    """A reply as it is when its key comes again."""
    return payload.replace(b'"duplicate":false', b'"duplicate":true', 1)


@dataclass
class Arrival:
    """A request as it reached a process.

    Attributes:
        to: where its answer goes.
        answers: of the process that it reached, by where they went.
        heard: whether its client heard of it.
    """

    sent: Sent
    to: str
    answers: dict[str, list[Answer]]
    heard: bool = False

    @property
    def answer(self) -> Answer | None:
        """What it was answered."""
        found = self.answers.get(self.to)
        return None if found is None else found[0]


@dataclass
class Book(World):
    """The world, and what its clients know.

    Attributes:
        arrivals: all requests in the order in which they arrived.
        sent: all requests.
        asked: the first content of each key, by user and key.
        tries: how each sending of each key ended.
        twins: keys that were under way twice at once.
        catalogs: the newest change of the catalogue that had surely taken effect before each key.
        answers: how often a verb was answered so, by its code.
        walks: over pages.
        periods: names of those that were shown, by user.
        replies: what was acknowledged, as a repetition gets it.
        seen: the newest position that anybody was told of a user.
        holds: ids that may be holds, by user; alerts: of those that were shown.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    asked: dict[tuple[str, str], tuple[str, dict[str, Any]]] = field(default_factory=dict)
    tries: defaultdict[tuple[str, str], list[str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    twins: set[tuple[str, str]] = field(default_factory=set)
    catalogs: dict[tuple[str, str], int] = field(default_factory=dict)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    walks: list[Any] = field(default_factory=list)
    periods: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    replies: dict[tuple[str, str], bytes] = field(default_factory=dict)
    seen: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    holds: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    alerts: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def begin_asking(self, sent: Sent) -> None:
        """Note a request before it is sent for the first time."""
        self.sent.append(sent)
        for key, verb, body in sent.changes():
            self.asked.setdefault((sent.user, key), (verb, body))

    @property
    def answered(self) -> dict[str, list[Answer]]:
        """What the running process has answered, by where it went."""
        return self.wire.answers

    async def try_once(self, sent: Sent) -> Answer | None:
        """Send a request, again or for the first time, and note its answer."""
        user, rng = sent.user, self.rng
        low, moves, at = 0, 0, 0
        arrival: Arrival | None = None

        def send(rig: Rig) -> str:
            nonlocal low, moves, at, arrival
            low, moves, at = self.seen[user], self.moves, self.clock.now()
            self.about_to_send(sent)
            to = sent.deliver(rig)
            arrival = Arrival(sent, to, self.answered)
            self.arrivals.append(arrival)
            return to

        await asyncio.sleep(rng.choice([0.0, 0.001]) * rng.random())
        if not self.calm and rng.random() < LOST_REQUESTS:
            self.events["lost request"] += 1
            await asyncio.sleep(PATIENCE_S)
            self.lost(sent)
            return None
        answer, high = await self.answer(send)
        if answer is not None and not self.calm and rng.random() < LOST_ANSWERS:
            self.events["lost answer"] += 1
            await asyncio.sleep(PATIENCE_S)
            answer = None
        if answer is None or arrival is None:
            self.lost(sent)
            return None
        arrival.heard = True
        sent.low, sent.high = low, high
        sent.at = None
        if moves == self.moves and at == self.clock.now():
            shown, own = self.ahead.get(user, (at, at))
            sent.at = own if shown == at else at
            sent.ahead = sent.at - at
        self._note(sent, answer)
        return answer

    def about_to_send(self, sent: Sent) -> None:
        """Note what was known when a request was sent."""
        sent.durable, sent.catalog = self.last_seq, max(self.seen[CATALOG_USER], self.begun_at)
        for key, _, _ in sent.changes():
            self.catalogs.setdefault((sent.user, key), sent.catalog)

    def hear_late(self) -> None:
        """Note the answers that no client heard of: they were given all the same."""
        for arrival in self.arrivals:
            answer, sent = arrival.answer, arrival.sent
            if arrival.heard or answer is None or sent.other:
                continue
            for key, outcome, reply in sent.outcomes(answer):
                with judging(Invariant.ONCE):
                    assert outcome != MISMATCH, (sent, answer)
                    if not outcome:
                        known = self.replies.setdefault((sent.user, key), reply)
                        assert reply == known, (sent, "is not what was answered", known)

    def lost(self, sent: Sent) -> None:
        """Note that there is no answer."""
        sent.codes.append(LOST)
        for key, _, _ in sent.changes():
            self.tries[sent.user, key].append(LOST)

    def _note(self, sent: Sent, answer: Answer) -> None:
        body, code, user = answer.body, answer.code, sent.user
        sent.codes.append(code)
        self.answers[sent.verb, code] += 1
        for key, outcome, reply in sent.outcomes(answer):
            if sent.other:
                assert outcome in {MISMATCH, *NOT_NOW}, (sent, outcome)
                continue
            if sent.verb == "batch" and not code:
                assert outcome in BAD_EVENTS, (sent, outcome)
            self.tries[user, key].append(outcome)
            if not outcome:
                known = self.replies.setdefault((user, key), reply)
                with judging(Invariant.ONCE):
                    assert reply == known, (sent, "is not what was acknowledged", known)
        if sent.verb == "rebuild" and not code:
            with judging(Invariant.REPLAY):
                assert not body["changed"], (sent, "was not what the log says")
        if code:
            may = {MISMATCH} if sent.other else FINAL_ERRORS.get(sent.verb, set())
            assert code in {*may, *NOT_NOW}, (sent, answer.payload)
            assert code != "deadline_exceeded" or sent.deadline is not None
            return
        past = sent.deadline is not None and (
            sent.at is not None and sent.deadline < sent.at - sent.ahead
        )
        with judging(Invariant.CONTRACT):
            assert not past, (sent, "was executed after its deadline")
        assert body.get("event_id", sent.key) == sent.key
        if sent.verb == "catalog.users.list":
            return  # its position is of all users, and says nothing of one
        if not body.get("duplicate"):
            with judging(Invariant.IN_ORDER):
                assert body["seq"] >= sent.low, (sent, "is older than what was told before")
        self.seen[user] = max(self.seen[user], body["seq"])
        check_room(body)
        self._learn(user, body)

    def _learn(self, user: str, body: dict[str, Any]) -> None:
        period = body.get("billing_period")
        if period is not None and period not in self.periods[user]:
            self.periods[user].append(period)
        for reply in (body, *body.get("results", ())):
            for alert in reply.get("alerts", ()):
                name = alert["id"] if isinstance(alert, dict) else alert
                if name not in self.alerts[user]:
                    self.alerts[user].append(name)


def check_room(body: dict[str, Any]) -> None:
    """What a reply says of limits adds up, and it allows nothing over a hard one."""
    with judging(Invariant.ADDS_UP):
        for reply in (body, *body.get("operations", ())):
            for limit in reply.get("limits", ()) if "allowed" in reply else ():
                names = ("limit", "used", "held", "requested", "remaining")
                amounts = (Decimal(str(limit[name])) for name in names)
                total, used, held, requested, remaining = amounts
                assert remaining == total - used - held, limit
                assert min(used, held) >= 0, limit
                extended = reply.get("event_id", reply.get("hold_id")) != reply.get("hold_id")
                if reply["allowed"] and limit["kind"] == "hard" and not extended:
                    assert used + held + requested <= total, limit
