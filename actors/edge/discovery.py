"""NATS services discovery: ``$SRV.PING|INFO|STATS`` for meterd, and the claim of a prefix.

ADR-32 of the NATS architecture records describes the subjects and the types. The answers come
from here, not from nats-py's `micro`, which would need one subscription per verb and so lose
the order of a user's requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import nats.errors
from nats.aio.msg import Msg

from actors.edge.link import Link
from actors.runtime.request import Tally
from messages.subjects import PARTITIONS

NAME: Final = "meterd"
QUEUE: Final = "meterd"
CLAIM_S: Final = 0.3
"""How long a start listens for another meterd on the same prefix."""
CLAIM_OWN_S: Final = 0.1
"""The same on a server that this process has just started, on loopback: nobody has held the
prefix there before, and who claims it at the same time is a few hops of this machine away."""
RECLAIM_S: Final = 10.0
"""How often a holder makes sure that it is the only one."""
_DESCRIPTION: Final = "Meters usage per user, prices it, and says whether the next call may be made"


class Discovery:
    """Answers discovery for one instance.

    Args:
        link: the connection.
        instance: the instance's id.
        version: meterd's version.
        prefix: what every subject starts with.
        started: when the service started.
        tallies: how the requests went, by verb.
        figures: the state of the service, which STATS shows with each endpoint.
    """

    def __init__(
        self,
        link: Link,
        *,
        instance: str,
        version: str,
        prefix: str,
        started: datetime,
        tallies: Mapping[str, Tally],
        figures: Callable[[], dict[str, Any]],
    ) -> None:
        self._link = link
        self._instance = instance
        self._version = version
        self._prefix = prefix
        self._started = started
        self._tallies = tallies
        self._figures = figures

    async def serve(self) -> None:
        """Answer from now on."""
        for verb, answer in (("PING", self._ping), ("INFO", self._info), ("STATS", self._stats)):
            for tail in ("", f".{NAME}", f".{NAME}.{self._instance}"):
                await self._link.listen(f"$SRV.{verb}{tail}", self._answering(answer))

    def _answering(self, answer: Callable[[], dict[str, Any]]) -> Callable[[Msg], Awaitable[None]]:
        async def on_message(message: Msg) -> None:
            if message.reply:
                self._link.send(message.reply.encode(), msgspec.json.encode(answer()))

        return on_message

    def _identity(self, kind: str) -> dict[str, Any]:
        return {
            "type": f"io.nats.micro.v1.{kind}_response",
            "name": NAME,
            "id": self._instance,
            "version": self._version,
            "metadata": {"prefix": self._prefix, "partitions": f"0-{PARTITIONS - 1}"},
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
        figures = self._figures()
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


class _Claimant(msgspec.Struct):
    """What a claim says, and the answer to one."""

    id: str
    holds: bool


class Claim:
    """Makes sure that one meterd serves a prefix.

    Everyone who claims a prefix or holds it answers a claim. A claimant that hears of a holder
    gives up; of two that claim at once, the one with the greater id does, whichever of them
    hears of the other: the one that came first may have claimed before the other listened.
    """

    def __init__(self, link: Link, prefix: str, instance: str) -> None:
        self._link = link
        self._subject = f"{prefix}.ctl.claim.{NAME}"
        self._instance = instance
        self._rival: str | None = None
        self._heard = asyncio.Event()
        self._holds = False

    async def take(self, *, own_server: bool = False) -> str | None:
        """Claim the prefix: None where it is ours, else the id of who has it."""
        await self._link.listen(self._subject, self._on_claim)
        inbox = self._link.client.new_inbox()
        subscription = await self._link.listen(inbox, self._on_answer)
        await self._link.client.publish(self._subject, self._say(), reply=inbox)
        try:
            async with asyncio.timeout(CLAIM_OWN_S if own_server else CLAIM_S):
                await self._heard.wait()
        except TimeoutError:
            self._holds = self._rival is None
        await subscription.unsubscribe()
        return self._rival

    async def keep(self) -> None:
        """Claim again and again; returns when there is another holder, with the lesser id.

        A holder that NATS could not reach while another meterd started has not heard its claim.
        """
        inbox = self._link.client.new_inbox()
        await self._link.listen(inbox, self._on_answer)
        while not self._heard.is_set():
            try:
                async with asyncio.timeout(RECLAIM_S):
                    await self._heard.wait()
            except TimeoutError:
                with suppress(nats.errors.Error, OSError):
                    await self._link.client.publish(self._subject, self._say(), reply=inbox)

    def _say(self) -> bytes:
        return msgspec.json.encode(_Claimant(self._instance, self._holds))

    async def _on_claim(self, message: Msg) -> None:
        if message.reply:
            self._link.send(message.reply.encode(), self._say())
            if not self._holds:  # anybody can claim: a holder gives way to an answer alone
                await self._on_answer(message)

    async def _on_answer(self, message: Msg) -> None:
        try:
            other = msgspec.json.decode(message.data, type=_Claimant)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        lesser = other.id < self._instance
        if (other.holds and lesser) if self._holds else (other.holds or lesser):
            self._rival = other.id
            self._heard.set()
