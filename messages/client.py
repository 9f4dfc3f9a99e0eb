"""The caller's side: one method per verb, with a deadline, a key and retries.

    async with await UsageClient.connect("nats://127.0.0.1:4222") as client:
        decision = await client.enforce("alice", provider="openai", tokens_requested=900)
        if decision.allowed:
            ...
            await client.track("alice", provider="openai", tokens_input=374, tokens_output=44)

A call that changes something carries an idempotency key that stays the same over its
retries, so that a reply that got lost never counts anything twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain, repeat
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar, Unpack

import msgspec
import nats.errors
from nats.aio.client import Client

from messages.admission import EnforceReply
from messages.codec import BODY_BYTES_MAX, decode_error, encode_reply
from messages.commands import CHANGES
from messages.errors import MeterdError, NoAnswer, NoService, RequestError
from messages.fields import EnforceFields, LogsFields, TrackFields
from messages.replies import LogsReply, ResetReply, StatsReply, TrackReply
from messages.subjects import PREFIX, check_prefix, request_subject

BUDGET_S: Final = 2.0
ATTEMPT_S: Final = 1.0
CONNECTION: Final[dict[str, Any]] = {
    "name": "meterd-client",
    "max_reconnect_attempts": -1,  # nats-py gives up for good after 60 by default
    "reconnect_time_wait": 0.25,
    "ping_interval": 10,
}

# Between tries in seconds: from these ranges one after the other, then always from the last.
_PAUSES: Final = ((0.01, 0.02), (0.025, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.5))
_TRACK: Final = msgspec.json.Decoder(TrackReply)
_ENFORCE: Final = msgspec.json.Decoder(EnforceReply)
_RESET: Final = msgspec.json.Decoder(ResetReply)
_STATS: Final = msgspec.json.Decoder(StatsReply)
_LOGS: Final = msgspec.json.Decoder(LogsReply)
_MONEY: Final = ("cost", "cost_requested")

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Reply(Protocol):
    """What the client reads of a message of nats-py."""

    data: bytes
    headers: dict[str, str] | None


class Connection(Protocol):
    """What the client needs of a connected client of nats-py."""

    @property
    def is_connected(self) -> bool:
        """Whether a request would be sent at once."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it will never be connected again."""
        ...

    @property
    def max_payload(self) -> int:
        """The size of the largest message in bytes."""
        ...

    async def request(
        self,
        subject: str,
        payload: bytes = ...,
        timeout: float = ...,  # noqa: ASYNC109 - the name is nats-py's
    ) -> Reply:
        """Send one request and wait for one reply."""
        ...

    async def close(self) -> None:
        """Close it for good."""
        ...


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _new_key() -> str:
    return uuid.uuid4().hex


class UsageClient:
    """Calls the verbs of meterd for a user and returns their typed replies.

    Every call has one budget of time for all its tries and sends it along as its deadline, so
    the clocks of caller and service may differ by less than the budget. It is repeated where
    nobody answers, where the service says ``retryable``, where the connection is lost, and
    where no reply comes: safe for changes too, because of their key.

    Every call raises:
        RequestError: the service refuses; `code` and `field` say what. ``invalid_user`` and
            ``too_large`` are raised before anything is sent.
        NoService: nobody answered within the budget; nothing was executed.
        NoAnswer: no reply within the budget; a change may have happened. Repeat it with the
            ``event_id`` of the error to learn which.
        TypeError: money that is not an `int` or a `Decimal`.

    Args:
        nc: a connected client of nats-py.
        prefix: what every subject starts with.
        budget_s: the time for one call with all its tries.
        attempt_s: the time after which one try counts as unanswered.
        clock, now, sleep, uniform, new_key: time, randomness and keys, for tests.
    """

    def __init__(
        self,
        nc: Connection,
        *,
        prefix: str = PREFIX,
        budget_s: float = BUDGET_S,
        attempt_s: float = ATTEMPT_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
        new_key: Callable[[], str] = _new_key,
    ) -> None:
        self._nc = nc
        self._prefix = check_prefix(prefix)
        self._budget_s = budget_s
        self._attempt_s = attempt_s
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._uniform = uniform
        self._new_key = new_key

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        prefix: str = PREFIX,
        budget_s: float = BUDGET_S,
        attempt_s: float = ATTEMPT_S,
        connect_s: float | None = None,
        **options: Any,
    ) -> Self:
        """Connect to NATS; ``options`` are those of nats-py.

        Args:
            url: of the server, or of several with commas between.
            prefix: as of the class.
            budget_s: as of the class.
            attempt_s: as of the class.
            connect_s: the time to connect; ``budget_s`` by default.
            **options: for ``connect`` of nats-py, such as ``user`` or ``tls``.

        Raises:
            NoService: there is no connection within that time.
        """
        check_prefix(prefix)
        return cls(
            await _connect(url.split(","), connect_s or budget_s, options),
            prefix=prefix,
            budget_s=budget_s,
            attempt_s=attempt_s,
        )

    async def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):  # nats-py raises it where the server is gone already
            await self._nc.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def track(self, user: str, **fields: Unpack[TrackFields]) -> TrackReply:
        """A call was made: price it, log it, count it. Always records, also over a limit."""
        return _decode(_TRACK, await self.request("track", user, {**fields}))

    async def enforce(self, user: str, **fields: Unpack[EnforceFields]) -> EnforceReply:
        """May this user make this call? A limit that says no is a reply, not an error."""
        return _decode(_ENFORCE, await self.request("enforce", user, {**fields}))

    async def reset(
        self, user: str, *, reason: str | None = None, event_id: str | None = None
    ) -> ResetReply:
        """Start the counters of the current period again."""
        body = {"reason": reason, "event_id": event_id}
        return _decode(_RESET, await self.request("reset", user, body))

    async def stats(self, user: str, *, billing_period: str | None = None) -> StatsReply:
        """The live summary of the current billing period, or of an earlier one."""
        body = {"billing_period": billing_period}
        return _decode(_STATS, await self.request("stats", user, body))

    async def logs(self, user: str, **fields: Unpack[LogsFields]) -> LogsReply:
        """A page of the usage log, newest arrival first."""
        return _decode(_LOGS, await self.request("logs", user, {**fields}))

    async def request(self, verb: str, user: str, body: Mapping[str, object]) -> bytes:
        """Call any verb; the reply's JSON as it came.

        ``None`` in the body is left out. A change without an ``event_id`` gets one.
        """
        sent = {name: value for name, value in body.items() if value is not None}
        for name in _MONEY:
            _check_money(name, sent.get(name, 0))
        if verb in CHANGES:
            sent.setdefault("event_id", self._new_key())
        sent.setdefault("deadline", self._now() + timedelta(seconds=self._budget_s))
        try:
            subject = request_subject(self._prefix, verb, user)
        except ValueError as error:
            raise RequestError("invalid_user", str(error)) from None
        payload = encode_reply(sent)
        # nats-py closes the connection for good where the server finds a message too large.
        limit = min(BODY_BYTES_MAX, self._nc.max_payload)
        if len(payload) > limit:
            raise RequestError("too_large", f"the body is over {limit} bytes")
        event_id = str(sent["event_id"]) if verb in CHANGES else None
        return await self._exchange(subject, payload, event_id)

    async def _exchange(self, subject: str, payload: bytes, event_id: str | None) -> bytes:
        end = self._clock() + self._budget_s
        unknown: MeterdError | None = None  # a change that may have happened stays unknown
        for low, high in chain(_PAUSES, repeat(_PAUSES[-1])):
            timeout_s = min(self._attempt_s, end - self._clock())
            pause = self._uniform(low, high)
            try:
                return await self._attempt(subject, payload, timeout_s, event_id)
            except RequestError as error:
                if not error.retryable:
                    raise
                failure: MeterdError = error
                pause = max(pause, error.retry_after or 0)
                may_have_happened = error.code == "outcome_unknown"
                over = error.code == "deadline_exceeded"  # ours: the end of the budget
            except (NoService, NoAnswer) as error:
                failure = error
                may_have_happened = isinstance(error, NoAnswer)
                over = self._nc.is_closed
            if may_have_happened and event_id is not None:
                unknown = failure
            if over or self._clock() + pause >= end:
                raise unknown or failure
            await self._sleep(pause)
        raise AssertionError("the pauses never end")

    async def _attempt(
        self, subject: str, payload: bytes, timeout_s: float, event_id: str | None
    ) -> bytes:
        if not self._nc.is_connected:  # nats-py would buffer it, past every deadline
            raise NoService("not connected to NATS")
        try:
            async with asyncio.timeout(timeout_s):  # sending may wait too, where the peer stalls
                reply = await self._nc.request(subject, payload, timeout=timeout_s)
        except nats.errors.NoRespondersError:
            raise NoService(f"no meterd answers on {self._prefix}") from None
        except OSError:  # which a timeout is as well
            raise NoAnswer("no reply from meterd in time", event_id) from None
        except nats.errors.Error as error:  # closed, draining or full: nothing was sent
            raise NoService(str(error)) from None
        if reply.headers and "Nats-Service-Error-Code" in reply.headers:
            raise _error_of(reply)
        return reply.data


async def _connect(servers: list[str], timeout_s: float, options: Mapping[str, Any]) -> Client:
    failures: list[Exception] = []

    async def on_error(error: Exception) -> None:
        # What the server says tells more than the reset connection that follows it.
        if not failures or isinstance(failures[0], OSError):
            failures[:] = [error]
        _log.debug("nats: %s", error)

    nc = Client()
    try:
        async with asyncio.timeout(timeout_s):
            await nc.connect(servers, **{**CONNECTION, "error_cb": on_error, **options})
    except (TimeoutError, OSError, nats.errors.Error) as error:
        with suppress(OSError):
            await nc.close()
        why = str(failures[0] if failures else error) or f"no reply within {timeout_s:g} s"
        raise NoService(f"cannot connect to {', '.join(map(_shown, servers))}: {why}") from None
    return nc


def _shown(url: str) -> str:
    """A server's address without the password that it may hold."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _check_money(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        kind = type(value).__name__
        raise TypeError(
            f"{name} must be an int or a Decimal, not a {kind}: money stays exact, "
            f"and a binary float such as 0.1 is not. Write Decimal('0.1')"
        )
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{name} must be a number, not {value}")


def _error_of(reply: Reply) -> RequestError:
    try:
        return decode_error(reply.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = (reply.headers or {}).get("Nats-Service-Error", "an error without a body")
        return RequestError("internal", text)


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MeterdError(f"the reply is not one of meterd: {error}") from error
