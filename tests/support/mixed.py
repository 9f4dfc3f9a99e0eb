"""A user's mixed requests on one connection, and the proof that they took effect in order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from messages.subjects import PREFIX, request_subject
from tests.support.raw import Message, RawClient

PROVIDERS: Final = ("tavily", "gemini", "exa", "stability")
_VERBS: Final = ("track", "enforce", "stats", "reset")
_WEIGHTS: Final = (60, 28, 10, 2)


@dataclass(frozen=True)
class Ask:
    """One request; `provider` is empty if the verb has none."""

    verb: str
    provider: str = ""

    @property
    def body(self) -> dict[str, Any]:
        return {"provider": self.provider} if self.provider else {}


def draw(rng: random.Random, count: int) -> list[Ask]:
    """So many requests, the first of which opens the log."""
    verbs = rng.choices(_VERBS, _WEIGHTS, k=count - 1)
    priced = {"track", "enforce"}
    rest = (Ask(verb, rng.choice(PROVIDERS) if verb in priced else "") for verb in verbs)
    return [Ask("track", PROVIDERS[0]), *rest]


def post_all(client: RawClient, user: str, asks: Sequence[Ask], window: int) -> list[Message]:
    """Send the requests with so many unanswered at a time; return the one reply to each."""
    numbers: list[int] = []
    for ask in asks:
        if len(numbers) >= window:
            client.reply(numbers[-window])
        numbers.append(client.post(request_subject(PREFIX, ask.verb, user), ask.body))
    for number in numbers[-window:]:
        client.reply(number)
    assert all(len(client.replies[number]) == 1 for number in numbers)
    return [client.replies[number][0] for number in numbers]


@dataclass
class Counted:
    """What a user's counters must be after each request."""

    calls: Counter[str] = field(default_factory=Counter)
    seq: int = 0

    def check(self, ask: Ask, reply: dict[str, Any]) -> None:
        """Check one reply against all requests before it."""
        changed = ask.verb == "track"
        if ask.verb == "track":
            self.calls[ask.provider] += 1
            assert reply["usage_logged"]
            assert not reply["duplicate"]
        elif ask.verb == "enforce":
            used = {limit["name"]: limit["used"] for limit in reply["limits"]}
            assert used[f"{ask.provider}_calls"] == self.calls[ask.provider]
        elif ask.verb == "reset":
            changed = self.calls.total() > 0
            assert reply["reset"] is changed
            self.calls.clear()
        else:
            assert reply["total_calls"] == self.calls.total()
            shown = {name: usage["calls"] for name, usage in reply["provider_breakdown"].items()}
            assert {name: calls for name, calls in shown.items() if calls} == dict(self.calls)
        assert reply["seq"] > self.seq if changed else reply["seq"] == self.seq
        self.seq = reply["seq"]


def check_order(asks: Sequence[Ask], replies: Sequence[Message]) -> Counted:
    """Check that each reply shows exactly the requests before it."""
    counted = Counted()
    for ask, reply in zip(asks, replies, strict=True):
        counted.check(ask, reply.json())
    return counted
