"""PostgreSQL as a meter: the event and the summary in one durable transaction for each call.

Both go in one statement, so that a call is one round trip, over a unix socket and with many
connections, whose commits the server groups.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.tools.bench.calls import MODELS, keys

BINARIES = Path("/usr/lib/postgresql/15/bin")
CONNECTIONS = 64
SETTINGS = {
    "listen_addresses": "''",
    "max_connections": CONNECTIONS + 10,
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "fsync": "on",
    "synchronous_commit": "on",
}
SCHEMA = """
CREATE TABLE events (seq bigserial PRIMARY KEY, user_id text NOT NULL, event_id text NOT NULL,
    provider text NOT NULL, model text NOT NULL, tokens bigint NOT NULL, cost numeric NOT NULL,
    at timestamptz NOT NULL DEFAULT now(), body text NOT NULL, UNIQUE (user_id, event_id));
CREATE TABLE summaries (user_id text, provider text, calls bigint NOT NULL, tokens bigint NOT NULL,
    cost numeric NOT NULL, PRIMARY KEY (user_id, provider)) WITH (fillfactor = 50);
"""
TRACK = """
WITH event AS (
    INSERT INTO events (user_id, event_id, provider, model, tokens, cost, body)
    VALUES ($1, $2, $3, $4, $5::bigint, $5::bigint * 0.000001, $6)
    ON CONFLICT DO NOTHING RETURNING tokens, cost)
INSERT INTO summaries AS s SELECT $1, $3, 1, tokens, cost FROM event
ON CONFLICT (user_id, provider) DO UPDATE SET calls = s.calls + 1,
    tokens = s.tokens + excluded.tokens, cost = s.cost + excluded.cost
RETURNING calls
"""
BODY = json.dumps({"endpoint": "/v1/chat/completions", "status_code": 200, "note": "x" * 120})


def installed() -> bool:
    """Whether both the server and the driver are there."""
    try:
        import_module("asyncpg")
    except ImportError:
        return False
    return (BINARIES / "postgres").exists()


@contextmanager
def cluster(directory: Path) -> Iterator[str]:
    """A throw-away cluster; gives the directory of its socket. It does not run as root."""
    directory.mkdir(parents=True)
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(directory, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data, place = str(directory / "data"), str(directory)
    make = [
        *as_user,
        str(BINARIES / "initdb"),
        "-D",
        data,
        "-A",
        "trust",
        "-U",
        "bench",
        "--no-sync",
    ]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL, cwd=directory)
    settings = [f"-c{name}={str(value).strip(chr(39))}" for name, value in SETTINGS.items()]
    start = [*as_user, str(BINARIES / "postgres"), "-D", data, "-k", place, *settings]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(start, stdout=log, stderr=log, cwd=directory) as process,
    ):
        try:
            wait = [str(BINARIES / "pg_isready"), "-h", place, "-q", "-t", "30"]
            deadline = time.monotonic() + 30
            while subprocess.run(wait, check=False).returncode:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit((directory / "log").read_text())
            yield place
        finally:
            process.send_signal(signal.SIGINT)  # ends its clients too


async def run(directory: str, seconds: float, users: int) -> float:
    """Calls for some seconds on all connections; return the calls a second."""
    asyncpg: Any = import_module("asyncpg")
    common = {"host": directory, "user": "bench", "database": "postgres"}
    connections = [await asyncpg.connect(**common) for _ in range(CONNECTIONS)]
    if await connections[0].fetchval("SELECT to_regclass('events')") is None:
        await connections[0].execute(SCHEMA)
    start = time.perf_counter()
    counts = await asyncio.gather(*(_calls(c, start + seconds, users) for c in connections))
    spent = time.perf_counter() - start
    for connection in connections:
        await connection.close()
    return sum(counts) / spent


async def _calls(connection: Any, end: float, users: int) -> int:
    statement = await connection.prepare(TRACK)
    rng, fresh, count = random.Random(), keys(), 0
    while time.perf_counter() < end:
        provider, model = rng.choice(MODELS)
        user, tokens = f"t{rng.randrange(users)}", rng.randint(30, 2500)
        key = next(fresh).decode()
        if not await statement.fetchval(user, key, provider, model, tokens, BODY):
            raise SystemExit("a call was not counted")
        count += 1
    return count


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--users", type=int, default=1000)
    options = parser.parse_args()
    rate = asyncio.run(run(options.directory, options.seconds, options.users))
    print(json.dumps({"rate": rate}))


if __name__ == "__main__":
    main()
