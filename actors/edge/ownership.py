"""The claim of a prefix: one meterd serves it, and says so to whoever asks."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import msgspec
import nats.errors
from nats.aio.msg import Msg

from actors.edge.connection import Connection
from actors.edge.discovery import NAME

CLAIM_S: Final = 0.3
"""How long a start listens for another meterd on the same prefix."""
CLAIM_OWN_S: Final = 0.1
"""The same on a loopback server that this process has just started: nobody can have held the
prefix there before, and who claims it at the same time is a few hops of this machine away."""
RECLAIM_S: Final = 10.0
"""How often a holder makes sure that it is the only one."""


class _Claimant(msgspec.Struct):
    """What a claim says, and the answer to one."""

    id: str
    holds: bool


class Claim:
    """Makes sure that one meterd serves a prefix.

    Everyone who claims a prefix or holds it answers a claim. A claimant that hears of a holder
    gives up; of two that claim at once, the one with the greater id does, whichever of them
    hears of the other: the one that came first may have claimed before the other listened.

    Args:
        connection: to NATS.
        prefix: what is claimed.
        instance: the id of who claims it.
        claim_s: seconds for which a start listens for another meterd.
        claim_own_s: the same on a server that this process has just started.
        reclaim_s: seconds until a holder makes sure again that it is the only one.
    """

    def __init__(
        self,
        connection: Connection,
        prefix: str,
        instance: str,
        *,
        claim_s: float = CLAIM_S,
        claim_own_s: float = CLAIM_OWN_S,
        reclaim_s: float = RECLAIM_S,
    ) -> None:
        self._connection = connection
        self._subject = f"{prefix}.ctl.claim.{NAME}"
        self._instance = instance
        self._claim_s = claim_s
        self._claim_own_s = claim_own_s
        self._reclaim_s = reclaim_s
        self._rival: str | None = None
        self._heard = asyncio.Event()
        self._holds = False

    async def take(self, *, own_server: bool = False) -> str | None:
        """Claim the prefix: None if it is ours, else the id of who has it."""
        await self._connection.listen(self._subject, self._on_claim)
        inbox = self._connection.client.new_inbox()
        subscription = await self._connection.listen(inbox, self._on_answer)
        await self._connection.client.publish(self._subject, self._say(), reply=inbox)
        try:
            async with asyncio.timeout(self._claim_own_s if own_server else self._claim_s):
                await self._heard.wait()
        except TimeoutError:
            self._holds = self._rival is None
        await subscription.unsubscribe()
        return self._rival

    async def keep(self) -> None:
        """Claim again and again; returns when there is another holder, with the lesser id.

        A holder that NATS could not reach while another meterd started has not heard its claim.
        """
        inbox = self._connection.client.new_inbox()
        await self._connection.listen(inbox, self._on_answer)
        while not self._heard.is_set():
            try:
                async with asyncio.timeout(self._reclaim_s):
                    await self._heard.wait()
            except TimeoutError:
                with suppress(nats.errors.Error, OSError):
                    await self._connection.client.publish(self._subject, self._say(), reply=inbox)

    def _say(self) -> bytes:
        return msgspec.json.encode(_Claimant(self._instance, self._holds))

    async def _on_claim(self, message: Msg) -> None:
        if message.reply:
            self._connection.send(message.reply.encode(), self._say())
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
