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
from actors.edge.fence import Fence

CLAIM_S: Final = 0.3
"""How long a start listens for another meterd on the same prefix."""
CLAIM_OWN_S: Final = 0.1
"""The same on a loopback server that this process has just started: nobody can have held the
prefix there before, and who claims it at the same time is a few hops of this machine away."""
RECLAIM_S: Final = 10.0
"""How often a holder makes sure that it is the only one."""


class _Claimant(msgspec.Struct):
    """What a claim says, and the answer to one; an older meterd says no prefix."""

    id: str
    holds: bool
    prefix: str = ""
    asks: bool = False
    """Whether a holder has not heard others for a while: one that took the prefix has it."""


def subject_of(prefix: str) -> str:
    """Where a prefix is claimed."""
    return f"{prefix}.ctl.claim.{NAME}"


def above(prefix: str) -> list[str]:
    """The prefixes that have this one inside of them: a meterd of theirs would get its requests."""
    tokens = prefix.split(".")
    return [".".join(tokens[:count]) for count in range(1, len(tokens))]


def overlap(one: str, other: str) -> bool:
    """Whether a subject can begin with both prefixes."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


class Claim:
    """Makes sure that one meterd serves a prefix, and none a prefix above or below it.

    Everyone who claims a prefix or holds it answers a claim. A claimant that hears of a holder
    gives up; of two that claim at once, the one with the greater id does, whichever of them
    hears of the other: the one that came first may have claimed before the other listened.

    A claim is made, and listened for, on the prefix and on each one above it. So it is heard by
    whoever serves one of these, and by whoever serves one below. Prefixes side by side hear each
    other on those above, and do not mind.

    Args:
        connection: to NATS.
        prefix: what is claimed.
        instance: the id of who claims it.
        claim_s: seconds for which a start listens for another meterd.
        claim_own_s: the same on a server that this process has just started.
        reclaim_s: seconds until a holder makes sure again that it is the only one.

    Attributes:
        rival_prefix: what the other meterd serves, if there is one.
        generation: that of the connection on which the prefix was taken.
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
        self._prefix = prefix
        self._subjects = [subject_of(name) for name in (prefix, *above(prefix))]
        self._instance = instance
        self._claim_s = claim_s
        self._claim_own_s = claim_own_s
        self._reclaim_s = reclaim_s
        self._rival: str | None = None
        self.rival_prefix = prefix
        self.generation = 0
        self._heard = asyncio.Event()
        self._news = asyncio.Event()
        self._holds = False
        self._fence: Fence | None = None

    @property
    def _asks(self) -> bool:
        """Whether others may have taken the prefix unheard: from when the fence is closed."""
        return self._fence is not None and self._fence.closed

    async def take(self, *, own_server: bool = False) -> str | None:
        """Claim the prefix: None if it is ours, else the id of who has it.

        What is lost with a connection may be the claim or its answer, so it is made again on the
        next one.
        """
        for subject in self._subjects:
            await self._connection.listen(subject, self._on_claim)
        inbox = self._connection.client.new_inbox()
        subscription = await self._connection.listen(inbox, self._on_answer)
        wait_s = self._claim_own_s if own_server else self._claim_s
        while self._rival is None and not self._holds:
            self.generation = await self._connection.there()
            await self._claim(inbox)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._heard.wait()
            is_same = await self._connection.there() == self.generation
            self._holds = is_same and self._rival is None
        await subscription.unsubscribe()
        return self._rival

    async def keep(self, fence: Fence | None = None) -> None:
        """Claim again and again; returns when there is another holder that has the prefix.

        A holder that NATS could not reach while another meterd started has not heard its claim.
        Nor has one that stood still: the fence is closed then, and opened when it is known that
        there is no other.
        """
        inbox = self._connection.client.new_inbox()
        await self._connection.listen(inbox, self._on_answer)
        self._fence = fence
        if fence is not None:
            fence.on_close = self._news.set
        while self._rival is None:
            closed = fence is not None and fence.closed
            with suppress(TimeoutError):
                async with asyncio.timeout(self._claim_s if closed else self._reclaim_s):
                    await self._news.wait()
            self._news.clear()
            with suppress(nats.errors.Error, OSError):
                await self._make_sure(inbox, fence)
        if fence is not None:
            fence.lose()

    async def _make_sure(self, inbox: str, fence: Fence | None) -> None:
        if self._rival is not None:
            return
        if fence is not None and fence.closed:
            await self._ask_again(inbox, fence)
        else:
            await self._claim(inbox)

    async def _ask_again(self, inbox: str, fence: Fence) -> None:
        """Open the fence if nobody has taken the prefix meanwhile."""
        count = fence.count
        await self._claim(inbox)
        await self._connection.flush()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._claim_s):
                await self._heard.wait()
        fence.stands()  # did it stand still while it asked?
        if self._rival is None and fence.count == count:
            fence.open()

    async def _claim(self, inbox: str) -> None:
        for subject in self._subjects:
            await self._connection.client.publish(subject, self._say(), reply=inbox)

    def _say(self) -> bytes:
        return msgspec.json.encode(_Claimant(self._instance, self._holds, self._prefix, self._asks))

    async def _on_claim(self, message: Msg) -> None:
        other = _decoded(message)
        if message.reply and (other is None or self._concerns(other)):
            self._connection.send_past(message.reply.encode(), self._say())
            if not self._holds:  # anybody can claim: a holder gives way to an answer alone
                await self._on_answer(message)

    async def _on_answer(self, message: Msg) -> None:
        other = _decoded(message)
        if other is None or not self._concerns(other):
            return
        lesser = other.id < self._instance
        if self._asks:
            gives_way = other.holds and (lesser or not other.asks)
        elif self._holds:
            gives_way = other.holds and lesser and not other.asks
        else:
            gives_way = other.holds or lesser
        if gives_way:
            self._rival, self.rival_prefix = other.id, other.prefix or self._prefix
            self._heard.set()
            self._news.set()

    def _concerns(self, other: _Claimant) -> bool:
        return not other.prefix or overlap(self._prefix, other.prefix)


def _decoded(message: Msg) -> _Claimant | None:
    try:
        return msgspec.json.decode(message.data, type=_Claimant)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
