"""Alerts and events through JetStream streams, if the server has JetStream, to catch up with.

If it has not, or the account may not use it, they are published plainly. Which of the two is
found out for each stream by itself: at the start, after every reconnect, and again while it is
plain. In a stream a notice is known to be sent when its PubAck has come; its id keeps it from
being stored twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import nats.errors
import structlog
from nats.aio.msg import Msg

from actors.edge.connection import Connection

MAX_AGE_S: Final = 30 * 86_400
DUPLICATES_S: Final = 3_600
"""How long the server knows an id again: far longer than a restart takes."""
API_S: Final = 2.0
ACK_S: Final = 5.0
PATIENCE_S: Final = 10.0
"""A stream that was there and fails is tried again for this long; then its notices go plainly."""
PAUSE_MIN_S: Final = 30.0
PAUSE_MAX_S: Final = 600.0
"""How long notices go plainly until the server is asked again; doubled each time."""

_NS: Final = 1_000_000_000
_NOT_FOUND: Final = 10_059
_NAME_IN_USE: Final = 10_058

_log = structlog.get_logger(__name__)


class Kept(NamedTuple):
    """What a stream keeps.

    Attributes:
        name: the stream's name.
        what: the token of the subjects behind the prefix.
        description: for people, in the stream's configuration.
        max_bytes: of the stream; an event of a closed period has some 4 KB, an alert 0.5 KB.
    """

    name: str
    what: str
    description: str
    max_bytes: int


ALERTS: Final = Kept("METERD_ALERTS", "alert", "Alerts of meterd", 256 * 1024 * 1024)
EVENTS: Final = Kept("METERD_EVENTS", "event", "Events of meterd", 512 * 1024 * 1024)


class StreamError(Exception):
    """The server, or what is there, does not let notices go through a stream."""

    def __init__(self, why: str, code: int = 0) -> None:
        super().__init__(why)
        self.code = code


class Streams:
    """A `Publisher` of notices: those that a stream keeps go into it, the others plainly.

    Args:
        connection: to NATS.
        prefix: what every subject starts with.
        kept: the streams that are to be used.
    """

    def __init__(self, connection: Connection, prefix: str, kept: Sequence[Kept]) -> None:
        self._connection = connection
        self._streams = [Stream(connection, prefix, one) for one in kept]

    def watch(self, changed: Callable[[], None]) -> None:
        """See `Publisher.watch`."""
        if self._streams:
            self._connection.reconnected.append(changed)

    def generation(self) -> int:
        """See `Publisher.generation`."""
        return self._connection.generation()

    async def prepare(self) -> None:
        """Find out which streams take notices, if that is not known now.

        Raises:
            ConnectionError: there is no connection, or a stream fails for the moment.
        """
        for stream in self._streams:
            await stream.prepare()

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> None:
        """See `Publisher.publish`. Raises what nats-py raises."""
        for stream in self._streams:
            if stream.takes(subject):
                await stream.publish(subject, payload, headers or {})
                return
        await self._connection.publish(subject, payload, headers)

    async def flush(self) -> None:
        """Wait until the server has everything published before, and each stream what it keeps.

        Raises:
            ConnectionError: a stream did not take a notice; it is to be published again.
        """
        await self._connection.flush()
        for stream in self._streams:
            await stream.settle()


class Stream:
    """One stream, as far as it is known.

    Args:
        connection: to NATS.
        prefix: what every subject starts with.
        kept: what it keeps.
    """

    def __init__(self, connection: Connection, prefix: str, kept: Kept) -> None:
        self._connection = connection
        self._kept = kept
        self._subjects = f"{prefix}.{kept.what}."
        self._acks = PubAcks(connection, kept.name)
        self._now = asyncio.get_running_loop().time
        self._streamed: bool | None = None  # None: never found out
        self._known = False  # whether it is known of this connection
        self._generation: int | None = None
        self._failing_since: float | None = None
        self._ask_at = 0.0  # while notices go plainly
        self._pause_s = PAUSE_MIN_S

    def takes(self, subject: str) -> bool:
        """Whether a notice on this subject goes into the stream."""
        return self._streamed is True and subject.startswith(self._subjects)

    async def prepare(self) -> None:
        """See `Streams.prepare`."""
        self._acks.forget()
        generation = self._connection.generation()
        if generation != self._generation:
            self._generation, self._known = generation, False
            self._failing_since, self._pause_s = None, PAUSE_MIN_S
        if self._known and (self._streamed or self._now() < self._ask_at):
            return
        try:
            await self._ensure()
        except (StreamError, nats.errors.Error, OSError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            self._failed(why)
            if self._streamed:
                raise ConnectionError(f"no stream {self._kept.name}: {why}") from error
            return
        if not self._streamed:
            _log.info("streamed", stream=self._kept.name, subjects=f"{self._subjects}>")
        self._streamed = self._known = True

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Publish a notice that the stream `takes`. Raises what nats-py raises."""
        expected = {**headers, "Nats-Expected-Stream": self._kept.name}
        await self._acks.publish(subject, payload, expected)

    async def settle(self) -> None:
        """Wait for the answers; see `Streams.flush`."""
        if self._acks.expected:
            why = await self._acks.settled()
            if why is not None:
                self._failed(why)
                name, what = self._kept.name, self._kept.what
                raise ConnectionError(f"the stream {name} did not take an {what}: {why}")
            self._pause_s = PAUSE_MIN_S
        self._failing_since = None

    def _failed(self, why: str) -> None:
        now = self._now()
        if self._failing_since is None:
            self._failing_since = now
        if self._streamed and now - self._failing_since < PATIENCE_S:
            self._known = False  # ask again: it may have to be made again
            return
        if self._streamed is not False:
            tell = _log.warning if self._streamed else _log.info
            how = "published plainly"
            tell("no_stream", stream=self._kept.name, why=why, **{f"{self._kept.what}s": how})
        self._streamed, self._known, self._failing_since = False, True, None
        self._ask_at = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)

    async def _ensure(self) -> None:
        """See that the stream is there with our subjects: make it or widen it.

        Raises:
            StreamError: it may not be made or widened, or does not say what it took.
        """
        subject, name = f"{self._subjects}>", self._kept.name
        try:
            config = await self._ask("INFO")
        except StreamError as error:
            if error.code != _NOT_FOUND:
                raise
            try:
                await self._ask("CREATE", _config(self._kept, subject))
            except StreamError as other:
                if other.code != _NAME_IN_USE:
                    raise
                # Another meterd of the account, with a prefix of its own, was faster.
                config = await self._ask("INFO")
            else:
                return
        subjects = config.get("subjects") or []
        if not any(_covers(wider, subject) for wider in subjects):
            # What the server said, whole: a field that we do not know is not taken away.
            await self._ask("UPDATE", {**config, "subjects": [*subjects, subject]})
        if config.get("no_ack"):
            raise StreamError(f"{name} is set to acknowledge nothing")

    async def _ask(self, operation: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The stream's configuration after ``operation``, which has been done."""
        subject = f"$JS.API.STREAM.{operation}.{self._kept.name}"
        payload = b"" if body is None else json.dumps(body).encode()
        message: Msg = await self._connection.client.request(subject, payload, timeout=API_S)
        answer = _object(message.data)
        if isinstance(error := answer.get("error"), dict):
            raise StreamError(str(error.get("description")), error.get("err_code", 0))
        if not isinstance(config := answer.get("config"), dict):
            raise StreamError(f"the answer on {subject} is none of JetStream")
        return config


class PubAcks:
    """Publishes into a stream, many at a time, and collects what it answers.

    nats-py's own way leaves the answer that is an error waiting for ever, with one of a limited
    number of places.

    Args:
        connection: to NATS.
        stream: the name of the stream whose answers count.
    """

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection = connection
        self._stream = stream
        self._waiting: set[str] = set()  # the reply subjects of what is not answered yet
        self._refusal: str | None = None
        self._settled = asyncio.Event()
        self._inbox = ""
        self._number = 0

    @property
    def expected(self) -> bool:
        """Whether there is something to wait for, or a refusal that nobody was told of."""
        return bool(self._waiting) or self._refusal is not None

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Publish without waiting for the answer. Raises what nats-py raises."""
        if not self._inbox:
            inbox: str = self._connection.client.new_inbox()
            await self._connection.listen(f"{inbox}.*", self._take)
            self._inbox = inbox
        self._number += 1
        reply_to = f"{self._inbox}.{self._number}"
        self._waiting.add(reply_to)  # the answer may come before this is on
        self._settled.clear()
        try:
            await self._connection.publish(subject, payload, headers, reply_to=reply_to)
        except BaseException:
            self._note(reply_to, None)
            raise

    async def settled(self) -> str | None:
        """Wait for the answers; return why one was not taken, None if all were."""
        late: str | None = None
        try:
            async with asyncio.timeout(ACK_S):
                await self._settled.wait()
        except TimeoutError:
            late = f"no PubAck in {ACK_S:g} s"
        refusal = self._refusal or late
        self.forget()
        return refusal

    def forget(self) -> None:
        """Wait for nothing of what was published before."""
        self._waiting.clear()
        self._refusal = None

    async def _take(self, message: Msg) -> None:
        if message.subject not in self._waiting:
            return  # it was given up
        if (message.headers or {}).get("Status") == "503":
            self._note(message.subject, "no stream takes it")
            return
        answer = _object(message.data)
        if isinstance(error := answer.get("error"), dict):
            self._note(message.subject, str(error.get("description")))
        elif answer.get("stream") == self._stream:  # stored now, or known already
            self._note(message.subject, None)
        # Else a subscriber has answered the notice, which is no word of the stream.

    def _note(self, reply_to: str, refusal: str | None) -> None:
        self._waiting.discard(reply_to)
        self._refusal = self._refusal or refusal
        if not self._waiting:
            self._settled.set()


def _object(payload: bytes) -> dict[str, Any]:
    """The JSON object of ``payload``, an empty one if it is no object."""
    try:
        found = json.loads(payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _covers(wider: str, narrower: str) -> bool:
    """Whether every subject that ``narrower`` matches is matched by ``wider`` too."""
    have, want = wider.split("."), narrower.split(".")
    for index, token in enumerate(want):
        if index >= len(have):
            return False
        if have[index] == ">":
            return True
        if token == ">" or have[index] not in {"*", token}:  # noqa: S105 -- of a subject
            return False
    return len(have) == len(want)


def _config(kept: Kept, subject: str) -> dict[str, Any]:
    return {
        "name": kept.name,
        "description": kept.description,
        "subjects": [subject],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": MAX_AGE_S * _NS,
        "max_bytes": kept.max_bytes,
        "max_msgs": -1,
        "max_consumers": -1,
        "num_replicas": 1,
        "duplicate_window": DUPLICATES_S * _NS,
    }
