"""What one ``track`` costs the event loop, step by step: the real parts in one process.

Messages go through the parser, the edge, the registry, an actor, the writer and a real journal,
and the replies into a connection that only counts. Each step is a function that is timed from
outside; what the timing itself costs is measured first and taken off. A step's figure is
without the steps that it calls.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import actors.user
from actors.app import Service
from actors.config import Config
from actors.edge.inline import InlineParser, Outgoing
from actors.edge.service import Edge
from actors.runtime.registry import Registry
from actors.runtime.request import Request
from messages.subjects import partition_of
from persistence.index import LogIndex
from persistence.keys import KeyFilter
from persistence.sqlite import SQLiteJournal
from persistence.writer import Writer
from tests.bench.calls import tracks
from tests.bench.echo import loop_factory
from tests.support.service import ROOT

CHUNK: Final = 128  # messages in one read of the socket
WARM: Final = 20_000
CALIBRATION: Final = 200_000
OUT: Final = ROOT / ".bench"

STEPS: Final[list[tuple[str, Any, str]]] = [
    ("parse the protocol", InlineParser, "parse"),
    ("route, bound, request", Edge, "deliver"),
    ("find the actor", Registry, "dispatch"),
    ("key: surely new?", KeyFilter, "claim"),
    ("time, admission", actors.user.UserActor, "handle"),
    ("row, bookkeeping", actors.user.UserActor, "count"),
    ("decide: price, limits, alerts", actors.user, "track"),
    ("encode the event", actors.user, "encode_event"),
    ("apply", actors.user, "apply"),
    ("write the reply", actors.user, "track_reply"),
    ("append to the block", Writer, "append"),
    ("commit, share of one row", SQLiteJournal, "append"),
    ("index in memory, share", LogIndex, "add"),
    ("answer", Request, "durable"),
    ("send", Outgoing, "send"),
    ("hand over to the socket, share", Outgoing, "hand_over"),
]


class Stopwatch:
    """Nanoseconds by step, each without those inside it and without the timing itself."""

    def __init__(self) -> None:
        self.own: dict[str, float] = {}
        self._inside: list[list[float]] = [[0, 0]]  # nanoseconds and calls of what is inside
        self._within = self._around = 0.0
        noop = self.timed("", lambda: None)
        begin = time.perf_counter_ns()
        for _ in range(CALIBRATION):
            noop()
        whole = (time.perf_counter_ns() - begin) / CALIBRATION
        self._within = self.own.pop("") / CALIBRATION
        self._around = whole - self._within

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed; a coroutine function must not wait for anything."""
        self.own[name] = 0
        inside, now = self._inside, time.perf_counter_ns

        def end(begin: int) -> None:
            spent = now() - begin
            children, calls = inside.pop()
            self.own[name] += spent - children - self._within - calls * self._around
            inside[-1][0] += spent
            inside[-1][1] += 1

        def run(*args: Any, **kwargs: Any) -> Any:
            inside.append([0, 0])
            begin = now()
            try:
                return function(*args, **kwargs)
            finally:
                end(begin)

        async def run_async(*args: Any, **kwargs: Any) -> Any:
            inside.append([0, 0])
            begin = now()
            try:
                return await function(*args, **kwargs)
            finally:
                end(begin)

        return run_async if asyncio.iscoroutinefunction(function) else run


class Connection:
    """Stands for nats-py's client and for the link: takes what is sent."""

    max_payload = _max_payload = 1 << 20
    is_connected = True
    _max_pending_size = 1 << 30

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._pending_data_size = 0
        self._pongs: list[Any] = []
        self._flush_queue = SimpleNamespace(empty=lambda: False)
        self.client = self
        self.reconnected: list[Any] = []
        self.parser = InlineParser(self)
        self._transport = None  # so that answers are kept, and can be counted
        self.outgoing = Outgoing(self)
        self.replies = self.outgoing
        self.send = self.outgoing.send
        self.hand_over = self.outgoing.hand_over

    def new_inbox(self) -> str:
        return "_INBOX.steps"

    async def publish(self, *_: Any, **__: Any) -> None:
        """A claim or an alert, which nobody hears."""

    async def listen(self, *_: Any) -> Any:
        async def unsubscribe() -> None:
            """Nothing to take back."""

        return SimpleNamespace(unsubscribe=unsubscribe)

    async def serve(self, _: str, __: str, deliver: Any) -> object:
        self.parser.serve(1, deliver, self.hand_over)
        return object()

    async def flush(self) -> None:
        """Everything is taken at once."""

    def connection(self) -> int:
        return 0

    async def unsubscribe(self, _: object) -> None:
        """No more messages come anyway."""

    def replied(self) -> int:
        """How many replies have come since the last call."""
        count = sum(piece.count(b"PUB ") for piece in self._pending)
        self._pending.clear()
        self._pending_data_size = 0
        return count


def messages(count: int, users: int) -> list[bytes]:
    """Requests as the server delivers them, behind the mapping."""
    found = []
    for request in itertools.islice(tracks(users, random.Random(1)), count):
        head, _, body = request.partition(b"\r\n")
        _, subject, reply, size = head.split(b" ")
        *_, verb, user = subject.decode().split(".")
        mapped = f"usage.v1.p.{partition_of(user)}.{verb}.{user}".encode()
        found.append(b"MSG %b 1 %b %b\r\n%b" % (mapped, reply, size, body))
    return found


async def feed(link: Connection, sent: list[bytes]) -> None:
    """Hand messages over as reads of the socket, and wait for the replies of each read."""
    for at in range(0, len(sent), CHUNK):
        chunk = sent[at : at + CHUNK]
        await link.parser.parse(b"".join(chunk))
        missing = len(chunk)
        while missing:
            await asyncio.sleep(0)
            missing -= link.replied()


async def cost(count: int, users: int) -> float:
    """Microseconds of the loop for each of so many calls."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as directory:  # on a disk: /tmp may be memory
        # A clock that stands still: no write is slow, so every block is written on the loop.
        journal = await SQLiteJournal.open(Path(directory), ticks=lambda: 0)
        link: Any = Connection()
        service = Service(Config(alert_stream="off"), journal, link, print)
        await service.start()
        await feed(link, messages(WARM, users))
        sent = messages(count, users)
        gc.collect()
        gc.freeze()
        begin = time.perf_counter()
        await feed(link, sent)
        spent = time.perf_counter() - begin
        await service.stop()
        await journal.close()
        return spent / count * 1e6


async def measure(count: int, users: int) -> tuple[float, dict[str, float]]:
    """Microseconds a call, and those of each step in a second run under the stopwatch."""
    bare = await cost(count, users)
    watch = Stopwatch()
    with ExitStack() as patches:
        for name, owner, attribute in STEPS:
            timed = watch.timed(name, getattr(owner, attribute))
            patches.enter_context(patch.object(owner, attribute, timed))
        await cost(count, users)
    return bare, {name: own / (count + WARM) / 1e3 for name, own in watch.own.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=60_000)
    parser.add_argument("--users", type=int, default=1_000)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        bare, steps = runner.run(measure(options.calls, options.users))
    print(f"{'step':34} {'us':>6}")
    for name, own in steps.items():
        print(f"{name:34} {own:>6.2f}")
    print(f"{'sum of the steps':34} {sum(steps.values()):>6.2f}")
    print(f"{'the loop without the stopwatch':34} {bare:>6.2f}")


if __name__ == "__main__":
    main()
