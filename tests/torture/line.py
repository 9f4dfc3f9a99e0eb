"""The connection of the clients: it counts the answers to each request.

It has the parts of `Rig` that clients and checks of tests/sim/world use, so that what they do to a
simulated service they do to a real one.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections import defaultdict
from contextlib import closing
from typing import Any, Final

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from actors.cli.looking import settle
from actors.publishing.streams import ALERTS
from messages.subjects import PREFIX, encode_user
from persistence.records import Row
from persistence.sqlite.checked import COLUMNS
from persistence.sqlite.data_dir import DATABASE
from tests.support.rig import Answer, SetClock
from tests.torture.stage import NEVER_S, Stage

LATE_S: Final = 0.02
"""Answers that left before a death are here by then, mostly."""
_NOBODY: Final = "503"


class NotServed(Exception):
    """NATS says that nobody took the request."""


class Line:
    """One connection to NATS for all clients of a stage.

    Attributes:
        sent: for each request where its answer goes, how much had died when it was sent.
        answers: what came.
        notices: what was published of each alert and event, by its id.
    """

    def __init__(self, stage: Stage, clock: SetClock) -> None:
        self.stage = stage
        self.clock = clock
        self.inner = self
        self.sent: dict[str, int] = {}
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self.notices: dict[str, set[tuple[str, bytes]]] = defaultdict(set)
        self._nc: Client | None = None
        self._server = stage.nats
        self._connected = asyncio.Event()
        self._inbox = ""
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._numbers = itertools.count()
        self._publishing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect; from here on it connects again by itself."""

        async def quiet(_: Exception) -> None:
            """A server that dies is what this is about."""

        async def found_another() -> None:
            self._server = self.stage.nats
            self._connected.set()
            self._connected.clear()

        self._nc = nc = await nats.connect(
            self.stage.nats.url,
            error_cb=quiet,
            reconnected_cb=found_another,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.01,
        )
        self._inbox = nc.new_inbox()
        await nc.subscribe(f"{self._inbox}.*", cb=self._take)
        for kind in ("alert", "event"):
            await nc.subscribe(f"{PREFIX}.{kind}.>", cb=self._take_notice)
        await settle(nc)
        self._server = self.stage.nats

    async def served(self) -> None:
        """Wait until a service is ready, and there is a connection to the server that there is.

        What is sent into the connection to one that has died is lost, until that is noticed.
        """
        while not (self.stage.up.is_set() and self._server is self.stage.nats):
            await self.stage.up.wait()
            if self._server is not self.stage.nats:
                await self._connected.wait()

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._nc is not None:
            await self._nc.close()

    @property
    def _open(self) -> Client:
        assert self._nc is not None, "not open"
        return self._nc

    async def flush(self) -> None:
        """Have all that the server was given before."""
        await settle(self._open, int(NEVER_S))

    async def ping(self) -> None:
        """Ask the service something that needs nothing but its event loop."""
        await self._open.request("$SRV.PING.meterd", timeout=NEVER_S)

    async def streamed(self) -> dict[str, set[tuple[str, bytes]]]:
        """All that the stream of alerts has, by the id of each."""
        manager = self._open.jsm()
        last = (await manager.stream_info(ALERTS.name)).state.last_seq
        found: dict[str, set[tuple[str, bytes]]] = defaultdict(set)
        for seq in range(1, last + 1):
            message = await manager.get_msg(ALERTS.name, seq)
            name = (message.headers or {})["Nats-Msg-Id"]
            found[name].add((message.subject or "", message.data or b""))
        return found

    def deliver(
        self, subject: str, payload: bytes = b"", *, headers: bytes = b"", reply: str | None = None
    ) -> str:
        """Send a request; where its answer goes."""
        to = f"{self._inbox}.{next(self._numbers)}" if reply is None else reply
        if to:
            self.sent[to] = self.stage.broken
            self._waiting[to] = asyncio.get_running_loop().create_future()
        lines = headers.decode().split("\r\n")[1:]
        pairs = dict(line.split(": ", 1) for line in lines if line)
        task = asyncio.create_task(self._open.publish(subject, payload, to, pairs or None))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)
        return to

    def rebuild(self, user: str) -> str:
        """Have a user's state made anew from the log; where the answer goes."""
        return self.deliver(f"{PREFIX}.ctl.rebuild.{encode_user(user)}")

    async def outcome(self, to: str) -> Answer | None:
        """The answer to a request; None if something died before it came.

        Raises:
            NotServed: nobody took it.
        """
        answered = self._waiting[to]
        if self.sent[to] == self.stage.broken:
            breaking = asyncio.create_task(self.stage.breaking())
            either: set[asyncio.Future[Any]] = {answered, breaking}
            await asyncio.wait(either, timeout=NEVER_S, return_when=asyncio.FIRST_COMPLETED)
            breaking.cancel()
        if not answered.done():
            assert self.sent[to] != self.stage.broken, f"no answer in {NEVER_S:g} s"
            await asyncio.wait([answered], timeout=LATE_S)
        return answered.result() if answered.done() else None

    async def answer(self, to: str) -> Answer:
        """The answer to a request while nothing dies."""
        found = await self.outcome(to)
        assert found is not None, "something died"
        return found

    async def rows(self, after: int, limit: int) -> list[Row]:
        """The log, read from its file."""
        return read_log(self.stage, after, limit)

    def check_answers(self) -> None:
        """Each request has one answer; none only if something died meanwhile."""
        for to, answers in self.answers.items():
            assert to in self.sent
            assert len(answers) == 1, ("was answered more than once", answers)
        lost = [to for to, broken in self.sent.items() if to not in self.answers]
        for to in lost:
            assert self.sent[to] < self.stage.broken, (to, "has no answer")

    async def _take(self, message: Msg) -> None:
        headers = message.headers or {}
        waiting = self._waiting.get(message.subject)
        if headers.get("Status") == _NOBODY:
            del self.sent[message.subject]  # a request that nobody took asks for no answer
            if waiting is not None and not waiting.done():
                waiting.set_exception(NotServed())
            return
        answer = Answer(message.subject, message.data, headers)
        self.answers[message.subject].append(answer)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
            del self._waiting[message.subject]

    async def _take_notice(self, message: Msg) -> None:
        name = (message.headers or {})["Nats-Msg-Id"]
        self.notices[name].add((message.subject, message.data))


def read_log(stage: Stage, after: int = 0, limit: int = 10**9) -> list[Row]:
    """The log of a stage as rows; while the service runs only briefly and beside it."""
    path = stage.service.data_dir / DATABASE
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        query = f"SELECT {COLUMNS} FROM log WHERE seq > ? ORDER BY seq LIMIT ?"
        found: list[Any] = db.execute(query, (after, limit)).fetchall()
    return [Row._make((*row[:6], bool(row[6]), *row[7:])) for row in found]
