"""What is asked of a directory, and what an undamaged one answers.

Rounds, in this order: everything that can be read of everybody, every key of the log sent again,
a new call of every user, the same once more, and what is counted then. The first two change
nothing. Most calls are sent again in batches, which takes a third of the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from tests.golden.released import PERIODS, USERS, ask
from tests.support.rig import Rig
from tests.sweep.directory import Made, serving

READ: Final = "read"
AGAIN: Final = "again"
NEW: Final = "new"
TWICE: Final = "twice"
AFTER: Final = "after"
ROUNDS: Final = (READ, AGAIN, NEW, TWICE, AFTER)
REPEATED: Final = frozenset({AGAIN, TWICE})
NEW_KEY: Final = "behind the damage"
PAGE: Final = 30
ALONE_EACH: Final = 8
"""Of so many calls one is sent again alone, and the others in batches."""
BATCH: Final = 32


class Question(NamedTuple):
    """One request: in which round, the verb, of whom (nobody: the catalogue), and the body."""

    round: str
    verb: str
    user: str
    body: dict[str, Any]


class Truth(NamedTuple):
    """Questions in order, and the answer to each.

    Attributes:
        at: the moment at which they are asked.
        questions: what is asked.
        answers: what the undamaged directory says.
        published: the payload of each notice that may be published, by its id.
    """

    at: int
    questions: list[Question]
    answers: list[Any]
    published: dict[str, str]


async def tell(directory: Path, made: Made) -> Truth:
    """Ask an undamaged copy of a directory, which is used up."""
    async with serving(directory, at=made.at) as (_, rig):
        questions = [*await _reads(rig), *_repeats(made), *_new()]
        answers = [await _answer(rig, question) for question in questions]
    for question, answer in zip(questions, answers, strict=True):
        _hold_good(question, answer)
    return Truth(made.at, questions, answers, made.published)


async def _answer(rig: Rig, question: Question) -> Any:
    return shown(question, await ask(rig, question.verb, question.user, question.body))


def shown(question: Question, answer: Any) -> Any:
    """An answer without what depends on what others were answered before."""
    if question.round in {READ, AGAIN}:
        dropped = (
            {"event_id"} if question.verb == "batch" and "event_id" not in question.body else ()
        )
        return {name: value for name, value in answer.items() if name not in dropped}
    return {name: value for name, value in answer.items() if name not in {"seq", "alerts"}}


def _hold_good(question: Question, answer: Any) -> None:
    """The truth itself is what the contract says."""
    refused = answer.get("error", {"code": ""})["code"]
    assert refused in {"", "unknown_period"}, (question, answer)
    if question.round == AGAIN and question.verb == "batch":
        assert answer["accepted"] == 0, (question, answer)
        assert answer["duplicates"], (question, answer)
    elif question.round in REPEATED:
        assert answer["duplicate"] is True, (question, answer)
    elif question.round == NEW:
        assert answer["duplicate"] is False, (question, answer)


async def _reads(rig: Rig) -> list[Question]:
    """Everything that can be read, page by page."""
    asks: list[tuple[str, str, dict[str, Any]]] = [
        ("plans.list", "", {}),
        ("providers.list", "", {}),
        *[("prices.list", "", {"provider": name}) for name in ("openai", "exa")],
        *[("users.list", "", {"billing_period": period}) for period in PERIODS],
        ("users.list", "", {"limit": 4}),
        ("estimate.cost", "", {"provider": "openai", "tokens_input": 1_000}),
    ]
    for user in USERS:
        asks += [(verb, user, {}) for verb in ("holds", "subscription", "dashboard")]
        asks += [("alerts", user, {}), ("alerts", user, {"unread_only": True})]
        asks += [("stats", user, {"billing_period": period}) for period in PERIODS[1:]]
        asks += [("trends", user, {"months": 8})]
        asks += [("enforce", user, {"provider": name}) for name in ("openai", "exa")]
        asks += [("logs", user, body) for body in await _pages(rig, user)]
        asks += [("logs", user, {"provider": "gemini", "status_code": 500})]
        asks += [("logs", user, {"billing_period": PERIODS[2]})]
        times = {"since": "2026-01-10T08:01:00Z", "until": "2026-03-15T00:01:00Z"}
        asks += [("logs", user, times), ("logs", user, {"event_id": "in 2026-02"})]
    return [Question(READ, *each) for each in asks]


async def _pages(rig: Rig, user: str) -> list[dict[str, Any]]:
    """The bodies that ask for all pages of a user's log."""
    bodies: list[dict[str, Any]] = [{"limit": PAGE}]
    while cursor := (await rig.ask("logs", user, **bodies[-1])).body["next_cursor"]:
        bodies.append({"limit": PAGE, "cursor": cursor})
    return bodies


def _repeats(made: Made) -> list[Question]:
    """Every key of the log, sent again; a refusal does not use up a key."""
    found: list[Question] = []
    calls: dict[str, list[dict[str, Any]]] = {user: [] for user in USERS}
    for number, (verb, user, body, reply) in enumerate(made.changes):
        if reply.get("allowed") is False or reply.get("reset") is False:
            continue
        if verb == "track" and number % ALONE_EACH:
            calls[user].append(body)
        else:
            found.append(Question(AGAIN, verb, user, body))
    for user, bodies in calls.items():
        for start in range(0, len(bodies), BATCH):
            events = {"events": bodies[start : start + BATCH]}
            found.append(Question(AGAIN, "batch", user, events))
    return found


def _new() -> list[Question]:
    call = {"provider": "exa", "tokens_input": 3, "event_id": NEW_KEY}
    return [
        *[Question(NEW, "track", user, call) for user in USERS],
        *[Question(TWICE, "track", user, call) for user in USERS],
        *[Question(AFTER, "stats", user, {}) for user in USERS],
    ]


def save(truth: Truth, path: Path) -> None:
    """Write it down."""
    path.write_bytes(msgspec.json.encode(truth))


def load(path: Path) -> Truth:
    """Read what `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Truth)
