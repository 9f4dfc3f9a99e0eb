"""How long `stats`, `trends` and `logs` take for a user with many events, at any depth.

Milliseconds of a request over NATS, one at a time, beside those of a bare echo; medians. Exit
code 1: a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import nats
from nats.aio.client import Client

from actors.billing.account import Account
from actors.billing.catalog import default_catalog
from actors.billing.rolling import due
from actors.billing.state import apply
from actors.billing.track import track
from actors.edge.embedded import EmbeddedServer
from messages.codec import decode_command, encode_event
from messages.events import KIND, Event
from messages.subjects import PREFIX, encode_user, partition_of, request_subject
from persistence.journal import Row
from persistence.sqlite import SQLiteJournal
from tests.bench.bench_hot import OUT, echo_responder
from tests.support.service import Service

USER = "busy"
GOALS_MS = {"stats": 3.0, "trends": 3.0, "logs": 10.0}
BLOCK = 4_000
TURNS = 50
MICROS_PER_DAY = 86_400_000_000


async def fill(directory: Path, events: int) -> None:
    """A log of one user with so many events over the last fourteen months."""
    journal, catalog = await SQLiteJournal.open(directory), default_catalog()
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


async def measure(url: str, events: int) -> bool:
    client = await nats.connect(url)
    echo = median([(await timed(client, "echo.1", {}))[0] for _ in range(TURNS)])
    print(f"echo {echo:.2f} ms; a user with {events:,} events")
    start = time.perf_counter()
    await series(client, "stats", [{}])
    print(f"first request, the user's state loaded: {(time.perf_counter() - start) * 1e3:.0f} ms")
    deep = events // 1000 - 60
    rows: list[tuple[str, str, list[dict[str, Any]]]] = [
        ("stats", "stats", [{}] * TURNS),
        ("stats, oldest period", "stats", [{"billing_period": await oldest(client)}] * TURNS),
        ("trends of 6", "trends", [{}] * TURNS),
        ("trends of 36", "trends", [{"months": 36}] * TURNS),
        ("logs, first page with its count", "logs", [{}] * TURNS),
        ("logs, first page of a provider", "logs", [{"provider": "openai"}] * TURNS),
        ("logs, first page of a rare provider", "logs", [{"provider": "exa"}] * TURNS),
        (
            "logs, first page of the oldest period",
            "logs",
            [{"billing_period": await oldest(client)}] * TURNS,
        ),
        ("logs, in the middle", "logs", await cursors(client, deep // 2, {})),
        ("logs, at the end", "logs", await cursors(client, deep, {})),
    ]
    passed = True
    print(f"\n{'request':40} {'ms':>7} {'goal':>6}  verdict")
    for name, verb, bodies in rows:
        spent, goal = await series(client, verb, bodies), GOALS_MS[verb]
        passed = passed and spent <= goal
        print(f"{name:40} {spent:>7.2f} {goal:>6.1f}  {'reached' if spent <= goal else 'MISSED'}")
    await client.close()
    return passed


async def oldest(client: Client) -> str:
    """The user's first period."""
    _, reply = await timed(client, request_subject(PREFIX, "trends", USER), {"months": 15})
    return str(
        next(key for key, n in zip(reply["periods"], reply["total_calls"], strict=True) if n)
    )


async def run(events: int, work: Path) -> bool:
    start = time.perf_counter()
    await fill(work / "data", events)
    print(f"{events:,} events written in {time.perf_counter() - start:.0f} s")
    server = EmbeddedServer(work / "nats", port=0)
    url = await server.start()
    try:
        with (
            echo_responder(url),
            Service(work / "data", command="serve", env={"METERD_NATS_URL": url}),
        ):
            return await measure(url, events)
    finally:
        await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    work = OUT / f"reads-{os.getpid()}"
    try:
        passed = asyncio.run(run(options.events, work))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(not passed)


if __name__ == "__main__":
    main()
