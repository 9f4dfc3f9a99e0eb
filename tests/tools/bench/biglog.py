"""A long log of many users: real rows, decided, encoded and chained by the project's own code.

One user in ten is a regular with four events in ten of all and has a snapshot with some events
behind it; the others have six or seven events. Users come in turn, so the rows of one are all
over the file. It is made once and kept under ``.bench/``; a run works on a copy.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.defaults import default_catalog
from actors.billing.periods.calendar import month_of
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account
from actors.billing.state.apply import apply
from actors.billing.usage.track import track
from messages.codec import decode_command, encode_event
from messages.stored.events import (
    KIND,
    Event,
)
from messages.stored.form import FORM
from messages.subjects import encode_user, partition_of
from messages.usage import Track
from persistence.archive.lookup import Archives
from persistence.chain.chain import follow, heads_of_bytes
from persistence.chain.checksum import stamp
from persistence.key_filter import KeyFilter
from persistence.records import Row, Snapshot
from persistence.sqlite import index_file, schema
from persistence.sqlite.blocks import Run
from persistence.sqlite.connection import Connection
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.heads import put_heads
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.index_source import Source
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.stored_rows import StoredRows
from tests.tools.bench.calls import MODELS, call, keys
from tests.tools.bench.stage import OUT

MADE: Final = 5
"""The version of what this module makes; a kept log of another one is not used."""
EVENTS_PER_USER: Final = 10
REGULARS: Final = 10
"""One user of so many."""
TURNS: Final = 40
"""Events of a regular."""
SAVED_AT: Final = 24
"""After so many a regular was passivated."""
PROTOTYPES: Final = 64
BLOCK: Final = 8_192
STEP_MICROS: Final = 100
SCATTER: Final = 7_368_787
_PUT_ROW: Final = (
    "INSERT INTO log (seq, partition, user_id, event_id, kind, at, notify, body, personal, chain)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_PUT_SNAPSHOT: Final = (
    "INSERT INTO snapshots (partition, user_id, seq, schema, body) VALUES (?, ?, ?, ?, ?)"
)
"""A prime: neighbours in the log are not neighbours by number."""


class Step(NamedTuple):
    """The n-th event of every user that follows a prototype."""

    kind: str
    body: str
    keyed: bool


@dataclass(frozen=True)
class Prototype:
    """What a user's events are, and the state after `SAVED_AT` of them."""

    steps: list[Step]
    saved: Account


def users_of(events: int) -> int:
    """How many users a log of that length has."""
    return events // EVENTS_PER_USER


def kept(events: int) -> tuple[Path, float]:
    """The log of that length, made if it is missing, and the seconds that took."""
    month = time.strftime("%Y-%m", time.gmtime())
    versions = f"{MADE}.{len(schema.migrations())}.{snapshots.SCHEMA}"
    path = OUT / f"log-{events}-{versions}-{month}"
    if path.is_dir():
        return path, 0.0
    for old in OUT.glob("log-*"):  # of another size, version or month
        shutil.rmtree(old)
    start = time.perf_counter()
    making = OUT / "making"
    shutil.rmtree(making, ignore_errors=True)
    try:
        asyncio.run(_make(making, events))
        making.rename(path)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return path, time.perf_counter() - start


def copied(log: Path, directory: Path) -> None:
    """A copy to work on, which is on the disk before anything is measured."""
    directory.mkdir(parents=True)
    for file in (*log.glob("*.db"), *log.glob("*.filter")):
        shutil.copy(file, directory)
        descriptor = os.open(directory / file.name, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


async def _make(directory: Path, events: int) -> None:
    catalog = default_catalog()
    now = time.time_ns() // 1000
    begin = max(month_of(now)[0], now - events * STEP_MICROS)
    prototypes = [_prototype(catalog, now, random.Random(n)) for n in range(PROTOTYPES)]
    await (await SQLiteJournal.open(directory, FORM)).close()  # makes the tables
    _write(directory / DATABASE, _blocks(events, begin, prototypes))
    # One lump: by itself the index takes the log in by many, each with a copy in memory.
    log = await Connection.open(directory / DATABASE, read_only=True)
    source = Source(log, FORM, StoredRows(0, Archives(directory)))
    filler = await index_file.open_filler(directory / INDEX)
    run = Run(1, 0, events, (await filler.call(index_file.held, FORM)).file)
    await filler.write(index_file.fill, run, await source.lump(0, events), FORM)
    await filler.close()
    await source.close()
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.load_keys(KeyFilter())  # as after any stop, the filter is there
    await journal.close()


def _write(path: Path, blocks: Iterator[tuple[list[Row], list[Snapshot]]]) -> None:
    """Put rows into the tables as `SQLiteJournal` does, but all of them in one transaction."""
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
        db.execute(f"PRAGMA {pragma}")
    found = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'log'"
    indexes = db.execute(f"{found} AND sql IS NOT NULL").fetchall()
    for name, _ in indexes:  # to sort once takes less than to keep in order
        db.execute(f"DROP INDEX {name}")
    db.execute("BEGIN")
    heads = heads_of_bytes(b"")
    for rows, saved in blocks:
        links = follow(heads, rows, [None] * len(rows))
        stamped = zip(rows, links, strict=True)
        db.executemany(_PUT_ROW, [(*row, stamp(link, row, None)) for row, link in stamped])
        put_heads(db, rows[-1].seq, heads)
        db.executemany(_PUT_SNAPSHOT, saved)
    for _, sql in indexes:
        db.execute(sql)
    db.execute("COMMIT")
    db.close()


def _prototype(catalog: Catalog, at: int, rng: random.Random) -> Prototype:
    """Decide the calls of one user as the service does."""
    account, steps = Account(""), list[Step]()
    saved: Account | None = None
    while len(steps) < TURNS:
        body = call(rng, MODELS[:3]) | {"tokens_input": rng.randint(20, 1200)}
        before, called = track(account, _decoded(body), at, catalog)
        for event in (*before, called):
            if getattr(event, "alerts", ()):
                raise SystemExit("a prototype raises an alert, whose id would be the user's own")
            _take(account, steps, event, at)
            if len(steps) == SAVED_AT:
                saved = snapshots.decode("", snapshots.encode(account))
    assert saved is not None
    return Prototype(steps, saved)


def _decoded(body: dict[str, Any]) -> Track:
    found = decode_command("track", repr(body).replace("'", '"').encode())
    assert isinstance(found, Track)
    return found


def _take(account: Account, steps: list[Step], event: Event, at: int) -> None:
    kind = KIND[type(event)]
    steps.append(Step(kind, encode_event(event), keyed=kind == "usage"))
    apply(account, event, at, account.seq + 1)


def _blocks(
    events: int, begin: int, prototypes: list[Prototype]
) -> Iterator[tuple[list[Row], list[Snapshot]]]:
    """All rows in order, and the snapshots that were taken between them."""
    names = [f"u{number}" for number in range(users_of(events))]
    partitions = [partition_of(encode_user(name)) for name in names]
    turns, fresh = _turns(len(names), events), keys()
    for first in range(1, events + 1, BLOCK):
        rows: list[Row] = []
        saved = []
        at = begin + first * STEP_MICROS
        for seq, (number, turn) in enumerate(itertools.islice(turns, BLOCK), first):
            user, partition = names[number], partitions[number]
            kind, body, keyed = prototypes[number % PROTOTYPES].steps[turn]
            key = next(fresh).decode() if keyed else None
            rows.append(Row(seq, partition, user, key, kind, at, False, body, None))
            if turn == SAVED_AT - 1:
                state = _saved(prototypes[number % PROTOTYPES].saved, user, seq, at)
                saved.append(Snapshot(partition, user, seq, snapshots.SCHEMA, state))
            at += STEP_MICROS
        yield rows, saved


def _saved(account: Account, user: str, seq: int, at: int) -> bytes:
    account.user, account.seq, account.at = user, seq, at
    assert account.current is not None
    account.current.last_updated = at
    return snapshots.encode(account)


def _turns(users: int, events: int) -> Iterator[tuple[int, int]]:
    """Who comes next, and which of that user's turns it is; regulars have the first numbers."""
    regulars = users // REGULARS
    often = _round_and_round(0, regulars)
    seldom = _round_and_round(regulars, users)
    for _ in range(0, events, 5):
        yield from (next(seldom), next(often), next(seldom), next(often), next(seldom))


def _round_and_round(first: int, end: int) -> Iterator[tuple[int, int]]:
    numbers = [first + place * SCATTER % (end - first) for place in range(end - first)]
    for turn in itertools.count():
        for number in numbers:
            yield number, turn
