"""Alerts through a JetStream stream, if the server has JetStream, so that subscribers catch up.

If it has not, or the account may not use it, alerts are published plainly, as all else is.
Which of the two is found out at the start, after every reconnect, and again while it is plain.
In the stream an alert is known to be sent when its PubAck has come; its id keeps it from being
stored twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import nats.errors
import structlog
from nats.aio.msg import Msg

from actors.edge.connection import Connection

STREAM: Final = "METERD_ALERTS"
MAX_AGE_S: Final = 30 * 86_400
MAX_BYTES: Final = 256 * 1024 * 1024
DUPLICATES_S: Final = 3_600
"""How long the server knows an id again: far longer than a restart takes."""
API_S: Final = 2.0
ACK_S: Final = 5.0
PATIENCE_S: Final = 10.0
"""A stream that was there and fails is tried again for so long; then alerts go plainly."""
PAUSE_MIN_S: Final = 30.0
PAUSE_MAX_S: Final = 600.0
"""How long alerts go plainly until the server is asked again; doubled each time."""

_NS: Final = 1_000_000_000
_NOT_FOUND: Final = 10_059
_NAME_IN_USE: Final = 10_058

_log = structlog.get_logger(__name__)


class StreamError(Exception):
    """The server, or what is there, does not let alerts go through the stream."""

    def __init__(self, why: str, code: int = 0) -> None:
        super().__init__(why)
        self.code = code


class AlertStream:
    """A publisher of notices: alerts go into the stream.

    Args:
        connection: to NATS.
        prefix: what every subject starts with.
        wanted: whether a stream is to be used at all.
    """

    def __init__(self, connection: Connection, prefix: str, *, wanted: bool = True) -> None:
        self._connection = connection
        self._alerts = f"{prefix}.alert."
        self._wanted = wanted
        self._acks = PubAcks(connection)
        self._now = asyncio.get_running_loop().time
        self._streamed: bool | None = None  # None: never found out
        self._known = False  # whether it is known of this connection
        self._generation: int | None = None
        self._failing_since: float | None = None
        self._ask_at = 0.0  # while alerts go plainly
        self._pause_s = PAUSE_MIN_S

    def watch(self, changed: Callable[[], None]) -> None:
        """See `Publisher.watch`."""
        if self._wanted:
            self._connection.reconnected.append(changed)

    def generation(self) -> int:
        """See `Publisher.generation`."""
        return self._connection.generation()

    async def prepare(self) -> None:
        """Find out whether alerts go into the stream, where that is not known now.

        Raises:
            ConnectionError: there is no connection, or the stream fails for the moment.
        """
        if not self._wanted:
            return
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
                raise ConnectionError(f"no stream {STREAM}: {why}") from error
            return
        if not self._streamed:
            _log.info("alerts_streamed", stream=STREAM)
        self._streamed = self._known = True

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> None:
        """See `Publisher.publish`. Raises what nats-py raises."""
        if self._streamed and subject.startswith(self._alerts):
            headers = {**(headers or {}), "Nats-Expected-Stream": STREAM}
            await self._acks.publish(subject, payload, headers)
        else:
            await self._connection.publish(subject, payload, headers)

    async def flush(self) -> None:
        """Wait until the server has everything published before, and the stream every alert.

        Raises:
            ConnectionError: the stream did not take an alert; it is to be published again.
        """
        await self._connection.flush()
        if self._acks.expected:
            why = await self._acks.settled()
            if why is not None:
                self._failed(why)
                raise ConnectionError(f"the stream {STREAM} did not take an alert: {why}")
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
            tell("no_alert_stream", why=why, alerts="published plainly")
        self._streamed, self._known, self._failing_since = False, True, None
        self._ask_at = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, PAUSE_MAX_S)

    async def _ensure(self) -> None:
        """See that the stream is there with our alerts: make it or widen it.

        Raises:
            StreamError: it may not be made or widened, or does not say what it took.
        """
        subject = f"{self._alerts}>"
        try:
            config = await self._ask("INFO")
        except StreamError as error:
            if error.code != _NOT_FOUND:
                raise
            try:
                await self._ask("CREATE", _config(subject))
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
            raise StreamError(f"{STREAM} is set to acknowledge nothing")

    async def _ask(self, operation: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The stream's configuration after ``operation``, which has been done."""
        subject = f"$JS.API.STREAM.{operation}.{STREAM}"
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

    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
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
        elif answer.get("stream") == STREAM:  # stored now, or known already
            self._note(message.subject, None)
        # Else a subscriber has answered the alert, which is no word of the stream.

    def _note(self, reply_to: str, refusal: str | None) -> None:
        self._waiting.discard(reply_to)
        self._refusal = self._refusal or refusal
        if not self._waiting:
            self._settled.set()


def _object(payload: bytes) -> dict[str, Any]:
    """The JSON object of ``payload``, an empty one where it is none."""
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


def _config(subject: str) -> dict[str, Any]:
    return {
        "name": STREAM,
        "description": "Alerts of meterd",
        "subjects": [subject],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": MAX_AGE_S * _NS,
        "max_bytes": MAX_BYTES,
        "max_msgs": -1,
        "max_consumers": -1,
        "num_replicas": 1,
        "duplicate_window": DUPLICATES_S * _NS,
    }
