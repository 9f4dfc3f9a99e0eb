"""Alerts through a JetStream stream, where the server has one, so that subscribers catch up.

Where it has none, or the account may not use it, alerts are published plainly, as all else is.
Which of the two is found out at the start and after every reconnect. In the stream an alert is
known to be sent when its PubAck has come; its id keeps it from being stored twice.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Final

import nats.errors
import nats.js.errors
import structlog
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, PubAck, StorageType, StreamConfig

from actors.edge.link import Link

STREAM: Final = "METERD_ALERTS"
MAX_AGE_S: Final = 30 * 86_400
MAX_BYTES: Final = 256 * 1024 * 1024
DUPLICATES_S: Final = 3_600
"""How long the server knows an id again: far longer than a restart takes."""
API_S: Final = 2.0
ACK_S: Final = 5.0

_log = structlog.get_logger(__name__)


class AlertStream:
    """A publisher of notices: alerts go into the stream.

    Args:
        link: the connection.
        prefix: what every subject starts with.
        wanted: whether a stream is to be used at all.
    """

    def __init__(self, link: Link, prefix: str, *, wanted: bool = True) -> None:
        self._link = link
        self._alerts = f"{prefix}.alert."
        self._wanted = wanted
        self._asked_on: int | None = None  # the connection on which the server was asked
        self._streamed = False
        self._acks: list[asyncio.Future[PubAck]] = []

    def connection(self) -> int:
        """See `Publisher.connection`."""
        return self._link.connection()

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> None:
        """See `Publisher.publish`. Raises what nats-py raises."""
        if not (self._wanted and subject.startswith(self._alerts) and await self._has_stream()):
            await self._link.publish(subject, payload, headers)
            return
        acknowledged = await self._jetstream.publish_async(
            subject, payload, wait_stall=ACK_S, stream=STREAM, headers=dict(headers or {})
        )
        self._acks.append(acknowledged)

    async def flush(self) -> None:
        """Wait until the server has everything published before, and the stream every alert.

        Raises:
            ConnectionError: the stream did not take an alert; it is to be published again.
        """
        await self._link.flush()
        acks, self._acks = self._acks, []
        if not acks:
            return
        _, missing = await asyncio.wait(acks, timeout=ACK_S)
        for ack in missing:
            ack.cancel()
        failed = next((e for ack in acks if not ack.cancelled() and (e := ack.exception())), None)
        if failed is not None or missing:
            self._asked_on = None  # the stream may be gone: ask again
            why = "no PubAck in time" if failed is None else str(failed) or type(failed).__name__
            raise ConnectionError(f"the stream {STREAM} did not take an alert: {why}")

    @cached_property
    def _jetstream(self) -> JetStreamContext:
        stream: JetStreamContext = self._link.client.jetstream(timeout=API_S)
        return stream

    async def _has_stream(self) -> bool:
        connection = self._link.connection()
        if self._asked_on != connection:
            before, self._streamed = self._streamed, await self._ensure()
            if self._streamed != before or self._asked_on is None:
                _log.info("alerts_published", stream=STREAM if self._streamed else None)
            self._asked_on = connection
        return self._streamed

    async def _ensure(self) -> bool:
        """Whether the stream is there with our alerts; made or widened where it has to be."""
        subject = f"{self._alerts}>"
        try:
            try:
                found = await self._jetstream.stream_info(STREAM)
            except nats.js.errors.NotFoundError:
                await self._jetstream.add_stream(_config(subject))
                return True
            subjects = found.config.subjects or []
            if subject not in subjects:
                found.config.subjects = [*subjects, subject]
                await self._jetstream.update_stream(found.config)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            # No JetStream, or not for this account: alerts go out all the same.
            _log.info("no_alert_stream", why=str(error) or type(error).__name__)
            return False
        return True


def _config(subject: str) -> StreamConfig:
    return StreamConfig(
        name=STREAM,
        description="Alerts of meterd",
        subjects=[subject],
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD,
        max_age=MAX_AGE_S,
        max_bytes=MAX_BYTES,
        duplicate_window=DUPLICATES_S,
    )
