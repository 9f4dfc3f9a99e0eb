"""What users take in memory, and what events take on disk."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from persistence.sqlite.data_dir import DATABASE
from tests.tools.bench.calls import FILL_BODY_BYTES
from tests.tools.bench.figures import Figure
from tests.tools.bench.stage import Options, memory_mb, staged

USERS = 100_000
CALLS = 20
MEMORY_GOAL_MB = 300.0
DISK_GOAL_BYTES = 400.0
SETTLE_S = 3.0
"""For the index, which is filled behind the log."""


def measure(options: Options, work: Path) -> list[Figure]:
    """Give every user some calls, and look at the process and its files."""
    env = {"METERD_LIVE_USERS_MAX": f"{USERS + 100}"}
    directory = work / "memory"
    with staged(directory, env) as stage:
        before = memory_mb(stage.service.pid)
        filled = stage.load("fill", f"--users={USERS}", f"--each={CALLS}")
        print(f"{USERS:,} users with {CALLS} calls each", flush=True)
        time.sleep(SETTLE_S)
        detail = {
            "before_mb": before,
            "most_mb": memory_mb(stage.service.pid, "VmHWM"),
            "events_per_s": filled["rate"] * CALLS,
        }
        memory = Figure(
            key="memory",
            name=f"memory of {USERS:,} live users",
            measured=memory_mb(stage.service.pid),
            goal=MEMORY_GOAL_MB,
            unit="MB",
            at_most=True,
            detail=detail,
        )
        disk = disk_of(directory)  # before the end, which writes a snapshot of each user
    return [
        memory,
        Figure(
            key="disk",
            name=f"disk per event (key of 32, body of {FILL_BODY_BYTES} bytes), with indexes",
            measured=disk["bytes"] / disk["rows"],
            goal=DISK_GOAL_BYTES,
            unit="bytes",
            at_most=True,
            detail=disk,
        ),
    ]


def disk_of(directory: Path) -> dict[str, Any]:
    """The size of all databases with nothing left in their WAL, and how many rows they are for."""
    sizes = {}
    for path in sorted(directory.glob("*.db")):
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sizes[path.name] = path.stat().st_size
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        ((rows, stored),) = db.execute("SELECT count(*), avg(length(body)) FROM log").fetchall()
    return {"bytes": sum(sizes.values()), "rows": rows, "files": sizes, "stored_body": stored}
