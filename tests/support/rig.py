"""The whole service but for NATS and the disk: wired by the real composition root."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, Self, cast

import nats.errors

from actors.app import Service
from actors.edge.connection import Connection
from actors.edge.parser import Deliver
from actors.settings.config import Config
from actors.settings.privacy import privacy_of
from actors.waits import Waits
from messages.stored.form import FORM
from messages.subjects import PREFIX, encode_user, request_subject
from persistence.errors import NotStored
from persistence.memory import MemoryJournal
from tests.support.faults import FaultyJournal, Gate
from tests.support.meter import NOON

Logs = list[MutableMapping[str, Any]]
"""The log lines of the service."""

WAIT_S: Final = 60.0
"""Far longer than anything takes; only a test that fails waits so long."""


class SetClock:
    """A clock that stands where it is put, in microseconds.

    To put it ahead is time that passes; to put it back, or to `step`, is that it is set.
    """

    def __init__(self, at: int = NOON) -> None:
        self._at = at
        self.passed = 0

    @property
    def at(self) -> int:
        return self._at

    @at.setter
    def at(self, at: int) -> None:
        self.passed += max(at - self._at, 0)
        self._at = at

    def step(self, by: int) -> None:
        """Set the clock, while no time passes."""
        self._at += by

    def now(self) -> int:
        return self._at

    def elapsed(self) -> int:
        return self.passed

    def ticks(self) -> int:
        return 0


@dataclass(frozen=True)
class Answer:
    """One answer that left the service."""

    to: str
    payload: bytes
    headers: Mapping[str, str] | None

    @property
    def body(self) -> Any:
        return json.loads(self.payload)

    @property
    def error(self) -> Any:
        """The error of an error reply, None for any other."""
        return self.body.get("error")

    @property
    def code(self) -> str:
        """The error's code, "" for a reply that is none."""
        return self.error["code"] if self.error else ""


@dataclass(frozen=True)
class Published:
    """One publication; ``id`` is its ``Nats-Msg-Id``."""

    subject: str
    id: str
    payload: bytes


AT_ONCE: Final = Waits(claim=0, log_retry=0, publish_retry=0, mark=0)
"""What is tried again is tried at once."""


async def until(done: Callable[[], bool]) -> None:
    """Let other tasks run until ``done``: they are all of this process and wait for nothing."""
    async with asyncio.timeout(WAIT_S):
        while not done():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0)


@dataclass
class FakeConnection:
    """Where answers and publications leave, in memory.

    Attributes:
        answers: all answers by where they go, in the order in which the first of each left.
        published: all publications, in order.
        failing: how many of the next publications fail.
        failing_flushes: how many of the next flushes fail; what was published before is sent.
        broken: the service crashed; nothing leaves any more.
        publishing: a gate before every publication.
    """

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)
    failing: int = 0
    failing_flushes: int = 0
    broken: bool = False
    publishing: Gate = field(default_factory=Gate)
    deliver: Deliver | None = None
    heard: dict[str, Callable[[Any], Awaitable[None]]] = field(default_factory=dict)
    clock: SetClock = field(default_factory=SetClock)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    losses = 0

    @property
    def client(self) -> Any:
        async def publish(subject: str, payload: bytes, **_: str) -> None:
            """A claim, which nobody hears."""

        async def request(subject: str, payload: bytes, **_: float) -> None:
            raise nats.errors.NoRespondersError

        calls = {"publish": publish, "request": request}
        return SimpleNamespace(new_inbox=lambda: "_INBOX.claim", max_payload=1_048_576, **calls)

    def send(self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
        if not self.broken:
            to = reply_to.decode()
            self.answers.setdefault(to, []).append(Answer(to, payload, headers))
            self.arrived.set()

    send_past = send

    def put_behind(self, fence: object) -> None:
        """Nothing waits behind a fence."""

    def now(self) -> int:
        return self.clock.now()

    def on_size(self, tell: Callable[[], None]) -> None:
        """It stays connected to a server that takes the same."""

    def may_refuse(self, subjects: Iterable[str]) -> None:
        """Nobody refuses anything."""

    def figures(self) -> dict[str, Any]:
        """Say nothing of a connection, which it is none."""
        return {}

    def ping(self) -> None:
        """Nobody would answer."""

    @property
    def replies(self) -> FakeConnection:
        return self

    def hand_over(self) -> None:
        """Answers leave as they are sent."""

    async def listen(self, subject: str, callback: Callable[[Any], Awaitable[None]]) -> Any:
        self.heard[subject] = callback

        async def unsubscribe() -> None:
            del self.heard[subject]

        return SimpleNamespace(unsubscribe=unsubscribe)

    async def serve(
        self, subject: str, queue: str, deliver: Deliver, after: object = None
    ) -> object:
        self.deliver = deliver
        return object()

    async def unsubscribe(self, subscription: object) -> None:
        self.deliver = None

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> None:
        await self.publishing.enter()
        if self.failing:
            self.failing -= 1
            raise OSError("injected")
        self._check()
        self.published.append(Published(subject, (headers or {})["Nats-Msg-Id"], payload))
        self.arrived.set()

    def generation(self) -> int:
        return 0

    async def there(self) -> int:
        return self.generation()

    async def flush(self) -> None:
        self._check()
        if self.failing_flushes:
            self.failing_flushes -= 1
            raise OSError("injected")

    def _check(self) -> None:
        if self.broken:
            raise OSError("crashed")

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until ``done``, looked at after each answer and publication."""
        async with asyncio.timeout(WAIT_S):
            while not done():
                self.arrived.clear()
                await self.arrived.wait()


class Rig:
    """One running service over a journal that may fail.

    Args:
        inner: the journal; that of a former rig goes on where it ended.
        clock: where the loop's time is that of the service; else both stand where they are put.
        journal: over ``inner``; by default one that takes no time.
        link: where answers leave.
        waits: how long the parts of the service wait.
        settings: of `Config`, unbounded.
    """

    def __init__(
        self,
        inner: MemoryJournal | None = None,
        *,
        at: int = NOON,
        clock: SetClock | None = None,
        journal: FaultyJournal | None = None,
        link: FakeConnection | None = None,
        waits: Waits = AT_ONCE,
        **settings: Any,
    ) -> None:
        self.inner = inner or MemoryJournal(FORM)
        self.journal = journal or FaultyJournal(self.inner)
        self.clock = clock or SetClock(at)
        self.seconds = 0.0  # of the registry's clock
        self.link = link or FakeConnection()
        self.link.clock = self.clock
        self.ended: list[str] = []
        self.on_ended: Callable[[], None] = lambda: None
        self.over = False
        self.sent: list[str] = []
        self._numbers = itertools.count(1)
        config = Config(alert_stream="off", event_stream="off", **settings)
        self.service = Service(
            config,
            self.journal,
            cast("Connection", self.link),
            self._end,
            self.clock,
            privacy=privacy_of(config),
            waits=waits,
        )
        self.registry = self.service._registry
        if clock is None:
            self.registry._now = self.registry._backoff._now = lambda: self.seconds
        self.writer = self.service._writer
        self.keys = self.service._context.keys
        self.relay = self.service._relay

    def _end(self, why: str) -> None:
        self.ended.append(why)
        self.on_ended()

    @classmethod
    async def start(cls, inner: MemoryJournal | None = None, **settings: Any) -> Self:
        rig = cls(inner, **settings)
        await rig.service.start()
        return rig

    async def stop(self) -> None:
        """As SIGTERM does; every request has exactly one answer then."""
        self.over = True
        await self.service.stop()
        assert {to: len(self.link.answers.get(to, ())) for to in self.sent} == dict.fromkeys(
            self.sent, 1
        )
        assert self.registry.waiting == 0
        assert all(cell.waiting == 0 for cell in self.registry._cells.values())

    async def crash(self) -> MemoryJournal:
        """As kill -9 does: nothing leaves any more; the journal keeps what it has."""
        self.over = self.link.broken = True
        for task in self.registry._tasks:
            task.cancel()
        await asyncio.gather(*self.registry._tasks, return_exceptions=True)
        await self.service._stack.aclose()
        return self.inner

    async def restart(self, **settings: Any) -> Rig:
        """A crash, and a new service over what is left."""
        return await Rig.start(await self.crash(), at=self.clock.at, **settings)

    def deliver(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: bytes = b"",
        reply: str | None = None,
        answered: bool = True,
    ) -> str:
        """Hand over a message as NATS does; return where its answer goes."""
        to = f"to.{next(self._numbers)}" if reply is None else reply
        assert self.link.deliver is not None, "the service takes nothing"
        if to and answered:
            self.sent.append(to)
        sent = subject.encode("utf-8", "surrogateescape")
        self.link.deliver(sent, to.encode(), payload, headers)
        return to

    def send(self, verb: str, user: str = "alice", *, header: str = "", **body: Any) -> str:
        """Send a request; return where its answer goes."""
        headers = f"NATS/1.0\r\nNats-Msg-Id: {header}\r\n\r\n".encode() if header else b""
        payload = json.dumps(body).encode() if body else b""
        return self.deliver(request_subject(PREFIX, verb, user), payload, headers=headers)

    def rebuild(self, user: str = "alice") -> str:
        """Have a user's state made anew from the log; return where the answer goes."""
        to = f"to.{next(self._numbers)}"
        self.sent.append(to)
        subject = f"{PREFIX}.ctl.rebuild.{encode_user(user)}"
        message = SimpleNamespace(subject=subject, reply=to)
        with suppress(StopIteration):  # it hands the request over, and awaits nothing
            self.link.heard[f"{PREFIX}.ctl.rebuild.*"](message).__await__().__next__()
        return to

    def track(self, user: str = "alice", provider: str = "tavily", **body: Any) -> str:
        """Send a ``track``."""
        return self.send("track", user, provider=provider, **body)

    async def answer(self, to: str) -> Answer:
        """The one answer to a request."""
        await self.link.until(lambda: to in self.link.answers)
        (answer,) = self.link.answers[to]
        assert not answer.error or answer.error["now"], answer  # the service's time
        return answer

    async def answers(self, *to: str) -> list[Answer]:
        """The one answer to each of these requests, in the order of the requests."""
        return [await self.answer(one) for one in to]

    async def ask(self, verb: str, user: str = "alice", **body: Any) -> Answer:
        """Send a request and wait for its answer."""
        return await self.answer(self.send(verb, user, **body))

    async def catalog(self, what: str, **body: Any) -> Answer:
        """Ask something of the catalogue, such as ``plans.list``."""
        payload = json.dumps(body).encode() if body else b""
        return await self.answer(self.deliver(f"{PREFIX}.catalog.{what}", payload))

    def order(self, *to: str) -> list[str]:
        """Those of these requests that are answered, in the order of their answers."""
        return [answered for answered in self.link.answers if answered in to]

    async def published(self, count: int) -> list[Published]:
        """Wait for so many publications; return all that there are then."""
        await self.link.until(lambda: len(self.link.published) >= count)
        return list(self.link.published)

    async def idle(self) -> None:
        """Wait until every request is answered, everything written and published."""
        async with asyncio.timeout(WAIT_S):
            await self.registry.quiesce()
            with suppress(NotStored):
                await self.writer.flushed()
            await self.relay.emptied()

    def live(self, user: str) -> Any:
        """The live actor of a user, None without one."""
        cell = self.registry._cells.get(user)
        return None if cell is None else cell.actor


Start = Callable[..., Awaitable[Rig]]
"""Starts a rig over a journal, with settings of `Config`."""
