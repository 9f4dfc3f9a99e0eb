"""Callers whose clock is not that of the service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest

from messages.client.client import UsageClient
from messages.units import to_datetime
from tests.support.meter import NOON
from tests.support.rig import Answer, Rig


@dataclass
class Reply:
    data: bytes
    headers: dict[str, str] | None


class Direct:
    """A connection that hands requests to a service of the same process."""

    is_connected, is_closed, max_payload = True, False, 1_048_576

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.answers: list[Answer] = []

    async def request(self, subject: str, payload: bytes = b"", timeout: float = 0.5) -> Reply:  # noqa: ASYNC109 - nats-py
        answer = await self.rig.answer(self.rig.deliver(subject, payload))
        self.answers.append(answer)
        return Reply(answer.payload, None if answer.headers is None else dict(answer.headers))

    async def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(("ahead_s", "tries"), [(-3, 3), (0, 2), (3, 2), (-86_400, 3)])
async def test_a_caller_whose_clock_differs_is_served(rig: Rig, ahead_s: int, tries: int) -> None:
    nc = Direct(rig)
    own = to_datetime(NOON) + timedelta(seconds=ahead_s)
    client = UsageClient(nc, clock=lambda: 0.0, now=lambda: own)
    tracked = await client.track("alice", provider="gemini", event_id="k")
    assert not tracked.duplicate
    assert (await client.stats("alice")).total_calls == 1
    assert len(nc.answers) == tries
