"""How long `stats`, `trends` and `logs` take for a user with many events, at any depth.

Milliseconds of a request over NATS, one at a time; medians.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import nats
from nats.aio.client import Client

from actors.billing.catalog.defaults import default_catalog
from actors.billing.periods.rollover import due
from actors.billing.state.account import Account
from actors.billing.state.apply import apply
from actors.billing.usage.track import track
from messages.codec import decode_command, encode_event
from messages.stored.events import (
    KIND,
    Event,
)
from messages.stored.form import FORM
from messages.subjects import PREFIX, encode_user, partition_of, request_subject
from persistence.records import Row
from persistence.sqlite.journal import SQLiteJournal
from tests.tools.bench.figures import Figure
from tests.tools.bench.stage import Options, staged

USER = "busy"
GOALS_MS = {"stats": 3.0, "trends": 3.0, "logs": 10.0}
EVENTS = 1_000_000
BLOCK = 4_000
TURNS = 50
MICROS_PER_DAY = 86_400_000_000


async def fill(directory: Path, events: int) -> None:
    """A log of one user with so many events over the last fourteen months."""
    journal, catalog = await SQLiteJournal.open(directory, FORM), default_catalog()
    account, rows = Account(USER), list[Row]()
    partition = partition_of(encode_user(USER))
    providers = ("openai", "gemini", "anthropic", "mistral", "exa")
    bodies = [
        decode_command("track", msgspec.json.encode({"provider": p, "tokens_input": 374}))
        for p in providers
    ]
    end = time.time_ns() // 1000
    begin = end - 420 * MICROS_PER_DAY

    def add(found: tuple[Event, ...], at: int, key: str) -> None:
        for event in found:
            seq = account.seq + 1
            own = key if event is found[-1] else None
            row = Row(
                seq, partition, USER, own, KIND[type(event)], at, False, encode_event(event), None
            )
            rows.append(row)
            apply(account, event, at, seq)

    for number in range(events):
        at = begin + (end - begin) * number // events
        add(due(account, at, catalog), at, "")
        call: Any = bodies[0 if number % 1000 else 4] if number % 7 else bodies[number % 4]
        before, event = track(account, call, at, catalog)
        add((*before, event), at, f"key-{number}")
        if len(rows) >= BLOCK:
            await journal.append(rows)
            rows.clear()
    await journal.append(rows)
    await journal.close()


async def timed(client: Client, subject: str, body: dict[str, Any]) -> tuple[float, Any]:
    """Milliseconds of one request, and its reply."""
    payload = msgspec.json.encode(body)
    start = time.perf_counter()
    reply = await client.request(subject, payload, timeout=30)
    spent = (time.perf_counter() - start) * 1e3
    return spent, msgspec.json.decode(reply.data)


async def series(client: Client, verb: str, bodies: list[dict[str, Any]]) -> float:
    """The median of requests of one kind."""
    subject = request_subject(PREFIX, verb, USER)
    found = [await timed(client, subject, body) for body in bodies]
    for _, reply in found:
        if "error" in reply:
            raise SystemExit(reply)
    return median(spent for spent, _ in found)


async def cursors(client: Client, depth: int, filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Requests for pages one behind the other, beginning after so many pages of 1,000."""
    subject, cursor = request_subject(PREFIX, "logs", USER), None
    for _ in range(depth):
        _, reply = await timed(client, subject, {**filters, "limit": 1000, "cursor": cursor})
        cursor = reply["next_cursor"]
    bodies = []
    for _ in range(TURNS):
        body = {**filters, "cursor": cursor}
        _, reply = await timed(client, subject, body)
        bodies.append(body)
        cursor = reply["next_cursor"]
        if cursor is None:
            break
    return bodies


async def ask(url: str, events: int) -> list[Figure]:
    """Each kind of request, with its median."""
    client = await nats.connect(url)
    echo = median([(await timed(client, "echo.1", {}))[0] for _ in range(TURNS)])
    start = time.perf_counter()
    await series(client, "stats", [{}])
    first = (time.perf_counter() - start) * 1e3
    deep = events // 1000 - 60
    first_period = {"billing_period": await oldest(client)}
    rows: list[tuple[str, str, list[dict[str, Any]]]] = [
        ("stats", "stats", [{}] * TURNS),
        ("stats, oldest period", "stats", [first_period] * TURNS),
        ("trends of 6", "trends", [{}] * TURNS),
        ("trends of 36", "trends", [{"months": 36}] * TURNS),
        ("logs, first page with its count", "logs", [{}] * TURNS),
        ("logs, first page of a provider", "logs", [{"provider": "openai"}] * TURNS),
        ("logs, first page of a rare provider", "logs", [{"provider": "exa"}] * TURNS),
        ("logs, first page of the oldest period", "logs", [first_period] * TURNS),
        ("logs, in the middle", "logs", await cursors(client, deep // 2, {})),
        ("logs, at the end", "logs", await cursors(client, deep, {})),
    ]
    detail = {"echo_ms": echo, "first_request_ms": first, "events": events}
    figures = [
        Figure(
            key=f"read_{number}",
            name=f"{name}; a user with {events:,} events, p50",
            measured=await series(client, verb, bodies),
            goal=GOALS_MS[verb],
            unit="ms",
            at_most=True,
            detail=detail,
        )
        for number, (name, verb, bodies) in enumerate(rows)
    ]
    await client.close()
    return figures


async def oldest(client: Client) -> str:
    """The user's first period."""
    _, reply = await timed(client, request_subject(PREFIX, "trends", USER), {"months": 15})
    return str(
        next(key for key, n in zip(reply["periods"], reply["total_calls"], strict=True) if n)
    )


def measure(options: Options, work: Path) -> list[Figure]:
    """Write the log of one busy user, and read it."""
    events = min(EVENTS, options.events)
    asyncio.run(fill(work / "reads", events))
    with staged(work / "reads") as stage:
        return asyncio.run(ask(stage.url, events))
