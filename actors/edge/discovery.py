"""NATS services discovery: ``$SRV.PING|INFO|STATS`` for meterd.

ADR-32 of the NATS architecture records describes the subjects and the types. The answers come
from here, not from nats-py's `micro`, which would need one subscription per verb and so lose
the order of a user's requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg

from actors.edge.connection import Connection
from actors.runtime.request import Tally
from messages.subjects import PARTITIONS

NAME: Final = "meterd"
QUEUE: Final = "meterd"
TURN: Final = 16
"""Answers that leave before others have their turn: nats-py hands over all that came, in one."""
CONTRACT: Final = "1.1"
"""The contract that is spoken; what of it is there, beside that of version 1, is `CAPABILITIES`."""
CAPABILITIES: Final = ("providers",)
_DESCRIPTION: Final = "Meters usage per user, prices it, and says whether the next call may be made"


class Discovery:
    """Answers discovery for one instance.

    Args:
        connection: to NATS.
        instance: the instance's id.
        version: meterd's version.
        prefix: what every subject starts with.
        started: when the service started.
        tallies: how the requests went, by verb.
        figures: the state of the service, which STATS shows with each endpoint.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        instance: str,
        version: str,
        prefix: str,
        started: datetime,
        tallies: Mapping[str, Tally],
        figures: Callable[[], dict[str, Any]],
    ) -> None:
        self._connection = connection
        self._instance = instance
        self._version = version
        self._prefix = prefix
        self._started = started
        self._tallies = tallies
        self._figures = figures
        self._said: dict[str, bytes] = {}  # in this turn of the loop
        self._answered = 0

    async def serve(self) -> None:
        """Answer from now on."""
        for verb, answer in (("PING", self._ping), ("INFO", self._info), ("STATS", self._stats)):
            for tail in ("", f".{NAME}", f".{NAME}.{self._instance}"):
                await self._connection.listen(f"$SRV.{verb}{tail}", self._answering(verb, answer))

    def _answering(
        self, verb: str, answer: Callable[[], dict[str, Any]]
    ) -> Callable[[Msg], Awaitable[None]]:
        async def on_message(message: Msg) -> None:
            if not message.reply:
                return
            payload = self._said.get(verb)
            if payload is None:
                # Nothing else happens in this turn, so all who ask in it hear the same.
                payload = self._said[verb] = msgspec.json.encode(answer())
                asyncio.get_running_loop().call_soon(self._said.clear)
            self._connection.send(message.reply.encode(), payload)
            self._answered += 1
            if self._answered % TURN == 0:
                await asyncio.sleep(0)

        return on_message

    def _identity(self, kind: str) -> dict[str, Any]:
        return {
            "type": f"io.nats.micro.v1.{kind}_response",
            "name": NAME,
            "id": self._instance,
            "version": self._version,
            # ADR-32 has texts here and nothing else.
            "metadata": {
                "prefix": self._prefix,
                "partitions": f"0-{PARTITIONS - 1}",
                "contract": CONTRACT,
                "capabilities": ",".join(CAPABILITIES),
            },
        }

    def _ping(self) -> dict[str, Any]:
        return self._identity("ping")

    def _info(self) -> dict[str, Any]:
        return {
            **self._identity("info"),
            "description": _DESCRIPTION,
            "endpoints": [
                {**self._endpoint(verb), "metadata": {"format": "application/json"}}
                for verb in self._tallies
            ],
        }

    def _stats(self) -> dict[str, Any]:
        figures = msgspec.Raw(msgspec.json.encode(self._figures()))
        return {
            **self._identity("stats"),
            "started": self._started.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "endpoints": [
                {
                    **self._endpoint(verb),
                    "num_requests": tally.requests,
                    "num_errors": tally.errors,
                    "last_error": tally.last_error,
                    "processing_time": tally.processing_ns,
                    "average_processing_time": tally.processing_ns // max(tally.requests, 1),
                    "data": figures,
                }
                for verb, tally in self._tallies.items()
            ],
        }

    def _endpoint(self, verb: str) -> dict[str, Any]:
        # A name has no dots, and the catalogue no user.
        subject = f"{self._prefix}.{verb}" + ("" if "." in verb else ".*")
        return {"name": verb.replace(".", "_"), "subject": subject, "queue_group": QUEUE}
