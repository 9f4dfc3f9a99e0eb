"""A client of meterd on a connection that answers by a script, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import nats.errors

from messages.client.client import UsageClient
from messages.codec import encode_reply, error_headers
from messages.errors import ErrorReply, RequestError
from tests.support import answers
from tests.support.answers import NOW, FakeReply

TRACKED = encode_reply(
    msgspec.structs.replace(answers.TRACKED, event_id="k", cost=Decimal("0.000000001"))
)
RESET = encode_reply(answers.RESET)

Outcome = bytes | Exception


@dataclass
class FakeConnection:
    """Answers as its script says, in virtual time: a timeout takes as long as it was given.

    With ``ahead_s`` it refuses what its own clock, which is so far ahead, finds too late.
    """

    script: list[Outcome]
    is_connected: bool = True
    is_closed: bool = False
    max_payload: int = 1024 * 1024
    time: float = 100.0
    sent: list[tuple[str, dict[str, Any], float]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    on_pause: Callable[[], None] = lambda: None
    ahead_s: float | None = None

    async def request(self, subject: str, payload: bytes = b"", timeout: float = 0.5) -> FakeReply:  # noqa: ASYNC109 - nats-py
        self.sent.append((subject, msgspec.json.decode(payload), timeout))
        if self.ahead_s is not None:
            service = NOW + timedelta(seconds=self.time - 100 + self.ahead_s)
            if datetime.fromisoformat(self.sent[-1][1]["deadline"]) < service:
                late = RequestError("deadline_exceeded", "not executed", now=service)
                return FakeReply(encode_reply(ErrorReply(late.body())), error_headers(late))
        outcome = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(outcome, nats.errors.TimeoutError):
            self.time += timeout
        if isinstance(outcome, RequestError):
            return FakeReply(encode_reply(ErrorReply(outcome.body())), error_headers(outcome))
        if isinstance(outcome, Exception):
            raise outcome
        return FakeReply(outcome)

    async def close(self) -> None:
        self.is_closed = True

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.time += seconds
        self.on_pause()

    @property
    def keys(self) -> set[str]:
        return {body["event_id"] for _, body, _ in self.sent}


def client_of(nc: FakeConnection, **options: Any) -> UsageClient:
    keys = iter(f"key-{n}" for n in range(1000))
    return UsageClient(
        nc,
        clock=lambda: nc.time,
        now=lambda: NOW + timedelta(seconds=nc.time - 100),
        sleep=nc.sleep,
        uniform=lambda _, high: high,
        new_key=lambda: next(keys),
        **options,
    )
