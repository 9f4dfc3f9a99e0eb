"""Many callers on one user's limit: holds never let them over it, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import nats
import nats.errors
from nats.aio.client import Client

from messages.subjects import PREFIX, request_subject
from tests.support.nats import NatsServer
from tests.support.service import Service

SEED: Final = 20_261_124
TASKS: Final = 200
TURNS: Final = 5
CONNECTIONS: Final = 20
KILLS: Final = 5
TOKENS: Final = 60_000
DOLLARS: Final = Decimal("0.02")
LONG_S: Final = 600
SHORT_S: Final = 1
WAIT_S: Final = 60
CALL: Final = {"provider": "openai"}


class Callers:
    """Connections that outlive the service; each request is repeated until it is answered."""

    def __init__(self, connections: list[Client]) -> None:
        self._connections = connections
        self.up = asyncio.Event()
        self.answers = 0
        self.answered = asyncio.Event()

    async def ask(self, number: int, verb: str, **body: Any) -> dict[str, Any]:
        """One request with its key, until the service says what became of it."""
        subject, payload = request_subject(PREFIX, verb, "alice"), json.dumps(body).encode()
        connection = self._connections[number % len(self._connections)]
        async with asyncio.timeout(WAIT_S):
            while True:
                await self.up.wait()
                try:
                    reply = await connection.request(subject, payload, timeout=1)
                except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                    continue  # it was killed; the same key again
                found: dict[str, Any] = json.loads(reply.data, parse_float=Decimal)
                if "error" not in found or not found["error"]["retryable"]:
                    self.answers += 1
                    self.answered.set()
                    return found

    async def until_answers(self, count: int) -> None:
        """Wait until so many requests are answered."""
        while self.answers < count:
            self.answered.clear()
            await self.answered.wait()


def check_sums(reply: dict[str, Any]) -> None:
    """remaining = limit - used - held, and never below zero for a hard limit."""
    for limit in reply["limits"]:
        assert limit["remaining"] == limit["limit"] - limit["used"] - limit["held"]
        assert limit["remaining"] >= 0 or limit["kind"] == "soft", limit


async def one_task(callers: Callers, number: int, dice: random.Random) -> Counter[str]:
    """Holds, and what becomes of them."""
    done: Counter[str] = Counter()
    for turn in range(TURNS):
        key, tokens = f"h{number}.{turn}", dice.randrange(1, 400)
        what = dice.choice(["settled", "settled", "extended", "released", "left"])
        ttl = SHORT_S if what == "left" else LONG_S
        held = await callers.ask(
            number, "hold", **CALL, tokens_requested=tokens, ttl=ttl, event_id=key
        )
        check_sums(held)
        if not held["allowed"]:
            done["refused"] += 1
            continue
        done[what] += 1
        if what == "extended":
            more = await callers.ask(
                number, "extend", hold_id=key, tokens_requested=tokens * 2, event_id=f"e{key}"
            )
            check_sums(more)
            tokens = tokens * 2 if more["allowed"] else tokens
        if what in {"settled", "extended"}:
            spent = dice.randrange(tokens + 1)
            reply = await callers.ask(
                number, "track", **CALL, tokens_input=spent, hold_id=key, event_id=f"t{key}"
            )
            assert (reply["hold_status"], reply["late_settle"]) == ("settled", False)
            done["tokens"] += spent
            done["calls"] += 1
        elif what == "released":
            assert (await callers.ask(number, "release", hold_id=key, event_id=f"r{key}"))[
                "released"
            ]
    return done


async def test_holds_never_let_callers_over_a_limit_whatever_is_killed(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    env = {"METERD_NATS_URL": nats_server.url}
    with Service(tmp_path / "data", command="serve", env=env) as service:
        connections = [await nats.connect(nats_server.url) for _ in range(CONNECTIONS)]
        callers = Callers(connections)
        callers.up.set()
        limits = {"openai_tokens": TOKENS, "monthly_cost": float(DOLLARS)}
        plan = {"plan": "Enterprise", "billing_cycle": "monthly", "overrides": limits}
        await callers.ask(0, "subscribe", **plan, event_id="s")
        work = asyncio.gather(
            *(one_task(callers, number, random.Random(dice.random())) for number in range(TASKS))
        )
        for kill in range(1, KILLS + 1):
            await callers.until_answers(kill * 200 + dice.randrange(100))
            callers.up.clear()
            service.kill()
            await asyncio.to_thread(service.start)
            callers.up.set()
        done = sum(await work, Counter[str]())
        stats = await callers.ask(0, "stats")
        assert (stats["total_tokens"], stats["total_calls"]) == (done["tokens"], done["calls"])
        assert stats["total_tokens"] <= TOKENS
        assert stats["total_cost"] <= DOLLARS
        assert all(done[what] for what in ("settled", "extended", "released", "left", "refused"))
        while (await callers.ask(0, "holds"))["holds"]:
            pass  # those that were left expire within a second
        assert (await callers.ask(0, "stats"))["held"] == {
            "calls": 0,
            "tokens": 0,
            "cost": 0,
            "open": 0,
        }
        for connection in connections:
            await connection.close()
        assert service.terminate() == 0


async def test_twenty_parallel_holds_of_75_against_500_grant_exactly_six(up: Service) -> None:
    connections = [await nats.connect(up.url) for _ in range(20)]
    callers = Callers(connections)
    callers.up.set()
    plan = {"plan": "Enterprise", "billing_cycle": "monthly", "overrides": {"openai_tokens": 500}}
    await callers.ask(0, "subscribe", **plan)
    asked = (callers.ask(n, "hold", **CALL, tokens_requested=75) for n in range(20))
    held = await asyncio.gather(*asked)
    assert sum(reply["allowed"] for reply in held) == 6
    for connection in connections:
        await connection.close()


async def test_checks_alone_let_parallel_callers_over_the_limit_together(up: Service) -> None:
    """What holds are for; docs/protocol.md has the figure."""
    connections = [await nats.connect(up.url) for _ in range(20)]
    callers = Callers(connections)
    callers.up.set()
    plan = {"plan": "Enterprise", "billing_cycle": "monthly", "overrides": {"openai_tokens": 500}}
    await callers.ask(0, "subscribe", **plan)
    asked = (callers.ask(n, "enforce", **CALL, tokens_requested=75) for n in range(20))
    allowed = sum(reply["allowed"] for reply in await asyncio.gather(*asked))
    await asyncio.gather(
        *(callers.ask(n, "track", **CALL, tokens_input=75) for n in range(allowed))
    )
    assert (allowed, (await callers.ask(0, "stats"))["total_tokens"]) == (20, 1500)
    for connection in connections:
        await connection.close()
