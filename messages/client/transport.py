"""How a caller's request reaches the service and comes back: deadline, key, retries, errors."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, repeat
from types import TracebackType
from typing import Any, Final, Protocol, Self

import msgspec
import nats.errors
from nats.aio.client import Client

from ..codec import BATCH_BYTES_MAX, BODY_BYTES_MAX, decode_error, encode_reply
from ..errors import AnswerBlocked, MeterdError, NoAnswer, NoService, NotPermitted, RequestError
from ..redacting import check_servers, secrets_in, shown, without
from ..subjects import PREFIX, check_prefix, request_subject
from ..verbs import KEYED
from .blocked import blocked_of, check_answer
from .clocks import ServiceClock

BUDGET_S: Final = 2.0
ATTEMPT_S: Final = 1.0
_LONG: Final = ".catalog.prices.unpriced"
"""It takes up to four fifths of the time that it is given, so one try of it has all of that."""
CONNECTION: Final[dict[str, Any]] = {
    "name": "meterd-client",
    "max_reconnect_attempts": -1,  # nats-py gives up for good after 60 by default
    "reconnect_time_wait": 0.25,
    "ping_interval": 10,
}

# Between tries in seconds: from these ranges one after the other, then always from the last.
_PAUSES: Final = ((0.01, 0.02), (0.025, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.5))
_MONEY: Final = frozenset({"cost", "cost_requested", "price_monthly", "price_yearly"})
_AMOUNTS: Final = frozenset({"overrides", "limits"})

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


class Caller:
    """Sends requests to meterd and returns the replies as they came.

    Every call has one budget of time for all its tries and sends it along as its deadline, by the
    service's clock: if that is not the caller's, one try learns by how much, and later calls know.
    A call is repeated if nobody answers, if the service says ``retryable``, if the
    connection is lost, and if no reply comes: safe for changes too, because of their key.
    What the reply says of that counts, and not its code: ``unavailable`` is not repeated if
    stored bytes are damaged.

    Every call raises:
        RequestError: the service refuses; `code` and `field` say what. ``invalid_user`` and
            ``too_large`` are raised before anything is sent.
        NoService: nobody answered within the budget; nothing was executed. At once, as
            NotPermitted, if the NATS server does not let the caller use the subject.
        NoAnswer: no reply within the budget; a change may have happened. Repeat it with the
            ``event_id`` of the error to learn which. At once, as AnswerBlocked, if the NATS
            server does not let the caller hear answers, or a stream answers first.
        TypeError: money that is not an `int` or a `Decimal`, a user id that is not a `str`.

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
        self._blocked = blocked_of(nc)
        self._budget_s = budget_s
        self._attempt_s = attempt_s
        self._clock = clock
        self._service_clock = ServiceClock(now)
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
            **options: for ``connect`` of nats-py, such as ``user``, ``tls``, or ``inbox_prefix``
                if permissions give each role inboxes of its own.

        Raises:
            NoService: there is no connection within that time.
        """
        check_prefix(prefix)
        return cls(
            await _connect(url, connect_s or budget_s, options),
            prefix=prefix,
            budget_s=budget_s,
            attempt_s=attempt_s,
        )

    async def close(self) -> None:
        """Close the connection."""
        with suppress(OSError):  # nats-py raises it if the server is gone already
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

    async def request(self, verb: str, user: str, body: Mapping[str, object]) -> bytes:
        """Call any verb; the reply's JSON as it came.

        ``None`` in the body is left out. A change without an ``event_id`` gets one.
        """
        sent = _without_none(body)
        event_id = None
        if verb in KEYED:
            event_id = self._keyed(verb, sent)
        try:
            subject = request_subject(self._prefix, verb, _checked(user))
        except ValueError as error:
            raise RequestError("invalid_user", str(error)) from None
        size_max = BATCH_BYTES_MAX if verb == "batch" else BODY_BYTES_MAX
        return await self._send(subject, sent, event_id, size_max)

    async def request_catalog(self, what: str, body: Mapping[str, object]) -> bytes:
        """Ask something of the catalogue, such as ``plans.list``; as `request`."""
        verb = f"catalog.{what}"
        sent = _without_none(body)
        event_id = None
        if verb in KEYED:
            event_id = str(sent.setdefault("event_id", self._new_key()))
        return await self._send(f"{self._prefix}.{verb}", sent, event_id, BODY_BYTES_MAX)

    async def request_upkeep(self, what: str, user: str) -> bytes:
        """Have the service look after one user's state, such as ``rebuild``."""
        subject = request_subject(f"{self._prefix}.ctl", what, _checked(user))
        return await self._exchange(subject, lambda _: b"", None)

    def _keyed(self, verb: str, sent: dict[str, object]) -> str | None:
        """Give a change its key; a preflight changes something only if it asks for a hold."""
        if verb != "preflight":
            return str(sent.setdefault("event_id", self._new_key()))
        hold = sent.get("hold")
        if not isinstance(hold, Mapping):
            return None
        keyed = {"event_id": self._new_key(), **_without_none(hold)}
        sent["hold"] = keyed
        return str(keyed["event_id"])

    async def _send(
        self, subject: str, sent: dict[str, object], event_id: str | None, size_max: int
    ) -> bytes:
        _check_amounts(sent)
        given = "deadline" in sent

        def payload(left_s: float) -> bytes:
            if not given:
                sent["deadline"] = self._service_clock.after(left_s)
            body = encode_reply(sent)
            # nats-py closes the connection for good if the server finds a message too large.
            limit = min(size_max, self._nc.max_payload)
            if len(body) > limit:
                raise RequestError("too_large", f"the body is over {limit} bytes")
            return body

        return await self._exchange(subject, payload, event_id)

    async def _exchange(
        self, subject: str, payload_of: Callable[[float], bytes], event_id: str | None
    ) -> bytes:
        """Try until there is a reply; ``payload_of`` makes the body for the seconds left."""
        end, corrected = self._clock() + self._budget_s, False
        payload = payload_of(self._budget_s)
        unknown: MeterdError | None = None  # once its outcome is unknown, a change stays so
        for low, high in chain(_PAUSES, repeat(_PAUSES[-1])):
            left_s = end - self._clock()
            timeout_s = left_s if subject.endswith(_LONG) else min(self._attempt_s, left_s)
            pause = self._uniform(low, high)
            try:
                return await self._attempt(subject, payload, timeout_s, event_id)
            except RequestError as error:
                if not error.retryable:
                    raise
                failure: MeterdError = error
                pause = max(pause, error.retry_after or 0)
                may_have_happened = error.code == "outcome_unknown"
                over = error.code == "deadline_exceeded"
                left_s = end - self._clock()
                if over and left_s > 0:  # by our own clock it has not passed
                    if not corrected and self._service_clock.learn(error):
                        before, payload = payload, payload_of(left_s)
                        corrected = True
                        if payload != before:  # the deadline was ours
                            continue
                    failure = self._service_clock.named(error)
            except (NoService, NoAnswer) as error:
                failure = error
                may_have_happened = isinstance(error, NoAnswer)
                over = self._nc.is_closed or isinstance(error, NotPermitted | AnswerBlocked)
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
        self._blocked.check()
        scope = asyncio.timeout(timeout_s)  # sending may wait too, if the peer stalls
        self._blocked.waits(scope, self._prefix, subject)
        try:
            async with scope:
                reply = await self._nc.request(subject, payload, timeout=timeout_s)
        except nats.errors.NoRespondersError:
            raise NoService(f"no meterd answers on {self._prefix}") from None
        except OSError:  # which a timeout is as well
            late = NoAnswer("no reply from meterd in time", event_id)
            raise (self._blocked.why(scope, event_id) or late) from None
        except nats.errors.Error as error:  # closed, draining or full: nothing was sent
            raise NoService(str(error)) from None
        finally:
            self._blocked.done(scope)
        if reply.headers and "Nats-Service-Error-Code" in reply.headers:
            raise _error_of(reply)
        check_answer(reply.data, subject, event_id)
        return reply.data


async def _connect(urls: str, timeout_s: float, options: Mapping[str, Any]) -> Client:
    secrets = secrets_in(urls, options.get("password"), options.get("token"))
    failures: list[Exception] = []

    async def on_error(error: Exception) -> None:
        # What the server says tells more than the reset connection that follows it.
        if not failures or isinstance(failures[0], OSError):
            failures[:] = [error]
        _log.debug("nats: %s", without(secrets, str(error)))

    try:
        servers = check_servers(urls)
    except ValueError as error:
        raise NoService(f"cannot connect to {shown(urls)}: {error}") from None
    nc = Client()
    try:
        async with asyncio.timeout(timeout_s):
            await nc.connect(servers, **{**CONNECTION, "error_cb": on_error, **options})
    except (TimeoutError, OSError, nats.errors.Error) as error:
        with suppress(OSError):
            await nc.close()
        why = str(failures[0] if failures else error) or f"no reply within {timeout_s:g} s"
        text = without(secrets, why)
        raise NoService(f"cannot connect to {shown(urls)}: {text}") from None
    return nc


def _without_none(body: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in body.items() if value is not None}


def _checked(user: object) -> str:
    if not isinstance(user, str):
        raise TypeError(f"a user id must be a str, not a {type(user).__name__}: {repr(user)[:60]}")
    return user


def _check_amounts(body: Mapping[str, object]) -> None:
    """Refuse money that is a binary float, wherever it is in the body."""
    for name, value in body.items():
        if isinstance(value, Mapping):
            if name in _AMOUNTS:
                for limit, amount in value.items():
                    _check_money(f"{name}.{limit}", amount)
            elif name != "metadata":  # whatever is in there is no money
                _check_amounts(value)
        elif isinstance(value, list | tuple):
            for part in value:
                if isinstance(part, Mapping):
                    _check_amounts(part)
        elif name in _MONEY or name.startswith("cost_per_"):
            _check_money(name, value)


def _check_money(name: str, value: object) -> None:
    if value is None:  # left out, or an override that lifts its limit
        return
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
