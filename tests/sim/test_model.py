"""Random commands for a few users against a plain reference model, with restarts between."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from messages.subjects import PREFIX, request_subject
from tests.sim.model.comparing import differences
from tests.sim.model.reference import SECOND, Refused
from tests.sim.model.user import Model
from tests.sim.model.wire import encoded
from tests.support.meter import NOON
from tests.support.rig import Answer, Rig

EXAMPLES: Final = 300
STEPS: Final = 50
"""Over 10,000 commands in all."""

users = st.sampled_from(["u0", "u0", "u1", "u2"])
keys = st.sampled_from([f"k{number}" for number in range(12)])
providers = st.sampled_from(
    ["openai", "openai", "openai", "exa", "exa", "gemini", "wavespeed", "video", "mistral"]
)
ago = st.sampled_from(
    [-299, 0, 1, 3_600, 86_400, 9 * 86_400, 20 * 86_400, 35 * 86_400, 36 * 86_400]
)
"""Seconds."""
tokens = st.integers(0, 300)
money = st.integers(0, 3 * 10**7)
NEVER: Final = 6
places = st.integers(0, NEVER)
"""Which of the holds that there were, the newest first; the last: one that never was."""
ttls = st.sampled_from([1, 60, 86_400])
units = st.dictionaries(
    st.sampled_from(["seconds", "characters", "web_searches", "unheard_of"]),
    st.integers(0, 9).map(lambda number: number * 10**9),
    max_size=2,
)
asked = st.fixed_dictionaries(
    {"provider": providers},
    optional={
        "tokens_requested": tokens,
        "cost_requested": money,
        "calls": st.integers(1, 4),
        "model_used": st.sampled_from(["gpt-4o", "wan-2.5", "unheard-of"]),
        "units_requested": units,
    },
)
tracks = st.fixed_dictionaries(
    {"provider": providers},
    optional={
        "tokens_input": tokens,
        "tokens_output": tokens,
        "cost": money,
        "model_used": st.sampled_from(["gpt-4o", "wan-2.5", "unheard-of"]),
        "units": units,
        "back": ago,
        "hold": places,
    },
)
limits = st.dictionaries(
    st.sampled_from(["openai_calls", "openai_tokens", "exa_calls", "monthly_cost", "gemini_cost"]),
    st.integers(0, 12),
    max_size=3,
)


class Commands(RuleBasedStateMachine):
    """The production actors over a journal in memory, and the model of each user."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        structlog.configure(processors=[structlog.testing.LogCapture()])
        self.runner = asyncio.Runner()
        self.models: dict[str, Model] = {}
        self.seqs: dict[str, int] = {}
        self.fresh = 0

        self.rig = self.runner.run(Rig.start(at=NOON, snapshot_events=7))

    @initialize(limits=st.lists(limits, min_size=2, max_size=2))
    def subscribed(self, limits: list[dict[str, int]]) -> None:
        """Most users have a plan, with limits that a few calls reach."""
        for user, overrides in zip(("u0", "u1"), limits, strict=True):
            plan = {"plan": "Enterprise", "billing_cycle": "monthly", "overrides": overrides}
            self.ask(user, "subscribe", {**plan, "event_id": self.key(None)})

    def teardown(self) -> None:
        self.runner.run(self.rig.crash())
        self.runner.close()
        self.patch.undo()
        structlog.reset_defaults()

    def ask(
        self, user: str, verb: str, sent: dict[str, Any], told: dict[str, Any] | None = None
    ) -> Any:
        """Ask both; ``told`` is what the model is told if that is other than what is sent."""
        model, now = self.models.setdefault(user, Model()), self.rig.clock.at
        answer = self.exchange(user, verb, encoded(sent))
        try:
            expected: Any = model.ask(verb, sent if told is None else told, now)
        except Refused as error:
            expected = ("error", *error.args)
        differing = differences(verb, answer, expected)
        assert not differing, (user, verb, sent, differing)
        if not answer.code:
            seq = answer.body["seq"]
            assert answer.body.get("duplicate") or seq >= self.seqs.get(user, 0)
            self.seqs[user] = max(seq, self.seqs.get(user, 0))
        return answer

    def exchange(self, user: str, verb: str, payload: bytes) -> Answer:
        """One request to the service."""

        async def exchange() -> Answer:
            to = self.rig.deliver(request_subject(PREFIX, verb, user), payload)
            return await self.rig.answer(to)

        return self.runner.run(exchange())

    def key(self, given: str | None) -> str:
        """A key that came before now and then, else a new one."""
        self.fresh += 1
        return given or f"new-{self.fresh}"

    @rule(by=st.sampled_from([1, 1, 30, 61, 3_600, 86_400, 9 * 86_400, 31 * 86_400, 100 * 86_400]))
    def time_passes(self, by: int) -> None:
        self.rig.clock.at += by * SECOND

    @rule(snapshots=st.booleans())
    def restart(self, *, snapshots: bool) -> None:
        if not snapshots:
            self.rig.inner._snapshots.clear()
        self.rig = self.runner.run(self.rig.restart(snapshot_events=7))

    @rule(user=users, call=tracks, key=st.none() | keys)
    def track(self, user: str, call: dict[str, Any], key: str | None) -> None:
        self.ask(user, "track", self.made(user, call) | {"event_id": self.key(key)})

    @rule(user=users, calls=st.lists(st.tuples(tracks, st.none() | keys), max_size=4))
    def batch(self, user: str, calls: list[tuple[dict[str, Any], str | None]]) -> None:
        events = [
            self.made(user, c) | ({} if key is None else {"event_id": key}) for c, key in calls
        ]
        self.ask(user, "batch", {"events": events, "event_id": self.key(None)})

    @rule(user=users, ask=asked)
    def enforce(self, user: str, ask: dict[str, Any]) -> None:
        self.ask(user, "enforce", ask)

    @rule(user=users, asks=st.lists(asked, min_size=1, max_size=3), ttl=ttls, hold=st.booleans())
    def preflight(self, user: str, asks: list[dict[str, Any]], ttl: int, *, hold: bool) -> None:
        about = {"hold": {"ttl": ttl, "event_id": self.key(None)}} if hold else {}
        self.ask(user, "preflight", {"operations": asks, **about})

    @rule(user=users, ask=asked, ttl=ttls, key=st.none() | keys)
    def hold(self, user: str, ask: dict[str, Any], ttl: int, key: str | None) -> None:
        self.ask(user, "hold", {**ask, "ttl": ttl, "event_id": self.key(key)})

    @rule(
        user=users,
        place=places,
        more=st.fixed_dictionaries(
            {},
            optional={
                "ttl": ttls,
                "tokens_requested": tokens,
                "cost_requested": money,
                "units_requested": units,
            },
        ),
    )
    def extend(self, user: str, place: int, more: dict[str, Any]) -> None:
        hold_id = self.hold_id(user, place)
        self.ask(user, "extend", {"hold_id": hold_id, **more, "event_id": self.key(None)})

    @rule(user=users, place=places)
    def release(self, user: str, place: int) -> None:
        hold_id = self.hold_id(user, place)
        self.ask(user, "release", {"hold_id": hold_id, "event_id": self.key(None)})

    @rule(user=users, key=st.none() | keys)
    def reset(self, user: str, key: str | None) -> None:
        self.ask(user, "reset", {"event_id": self.key(key)})

    @rule(
        user=users,
        plan=st.sampled_from(
            ["Free", "Basic", "Pro", "Pro", "enterprise", "enterprise", "nothing"]
        ),
        cycle=st.sampled_from(["monthly", "yearly"]),
        more=st.fixed_dictionaries(
            {},
            optional={
                "auto_renew": st.booleans(),
                "period": st.sampled_from(["keep", "new"]),
                "back": st.sampled_from([-1, 0, 1, 40 * 86_400, 366 * 86_400, 367 * 86_400]),
                "overrides": limits,
            },
        ),
        key=st.none() | keys,
    )
    def subscribe(
        self, user: str, plan: str, cycle: str, more: dict[str, Any], key: str | None
    ) -> None:
        body = {"plan": plan, "billing_cycle": cycle, **more, "event_id": self.key(key)}
        if "back" in body:
            body["period_start"] = self.rig.clock.at - body.pop("back") * SECOND
        self.ask(user, "subscribe", body)

    @rule(user=users, at_end=st.booleans())
    def cancel(self, user: str, *, at_end: bool) -> None:
        self.ask(user, "cancel", {"at_period_end": at_end, "event_id": self.key(None)})

    @rule(user=users, verb=st.sampled_from(["suspend", "resume", "resume", "resume"]))
    def suspend_or_resume(self, user: str, verb: str) -> None:
        self.ask(user, verb, {"event_id": self.key(None)})

    @rule(user=users, places=st.none() | st.lists(st.integers(0, 40), max_size=3))
    def ack(self, user: str, places: list[int] | None) -> None:
        key = self.key(None)
        if places is None:
            self.ask(user, "ack", {"all": True, "event_id": key})
            return
        listed = self.exchange(user, "alerts", b'{"limit":1000}').body
        shown = listed["alerts"][::-1]
        chosen = sorted({place % len(shown) for place in places}) if shown else []
        which = [self.place(user, shown, at) for at in chosen]
        ids = [shown[at]["id"] for at in chosen]
        told = {"which": which, "event_id": key}
        self.ask(user, "ack", {"ids": ids, "event_id": key}, told)

    def place(self, user: str, shown: list[dict[str, Any]], at: int) -> int:
        """Where the model has an alert of the service: the n-th one of its kind."""

        def kind(alert: dict[str, Any]) -> tuple[Any, ...]:
            return alert["limit_name"], alert["threshold_percentage"], alert["billing_period"]

        nth = sum(kind(alert) == kind(shown[at]) for alert in shown[:at])
        model = self.models.setdefault(user, Model())
        same = [n for n, alert in enumerate(model.alerts) if kind(alert) == kind(shown[at])]
        return same[nth]

    @rule(user=users, verb=st.sampled_from(["holds", "subscription", "dashboard"]))
    def read(self, user: str, verb: str) -> None:
        self.ask(user, verb, {})

    @rule(user=users, key=st.none() | st.sampled_from(["2026-03", "2026-03.2", "2026-04"]))
    def stats(self, user: str, key: str | None) -> None:
        self.ask(user, "stats", {} if key is None else {"billing_period": key})

    @rule(user=users, months=st.integers(1, 36))
    def trends(self, user: str, months: int) -> None:
        self.ask(user, "trends", {"months": months})

    @rule(user=users, unread=st.booleans())
    def alerts(self, user: str, *, unread: bool) -> None:
        self.ask(user, "alerts", {"unread_only": unread})

    @rule(user=users, key=st.none() | st.sampled_from(["2026-03", "2026-04"]))
    def logs(self, user: str, key: str | None) -> None:
        self.ask(user, "logs", {} if key is None else {"billing_period": key})

    def made(self, user: str, call: dict[str, Any]) -> dict[str, Any]:
        """A call made some time ago, perhaps for a hold."""
        rest = {name: value for name, value in call.items() if name not in {"back", "hold"}}
        if "back" in call:
            rest["timestamp"] = self.rig.clock.at - call["back"] * SECOND
        if "hold" in call:
            rest["hold_id"] = self.hold_id(user, call["hold"])
        return rest

    def hold_id(self, user: str, place: int) -> str:
        """A hold that there was, open or not; else one that never was."""
        found = self.models.setdefault(user, Model()).holds[::-1]
        if not found or place == NEVER:
            return "never"
        return found[min(place, len(found) - 1)].id


TestCommands = Commands.TestCase
TestCommands.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
