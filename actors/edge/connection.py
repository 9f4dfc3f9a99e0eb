"""The connection to NATS: how it is made, what is served over it, how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from actors.clock import SystemClock
from actors.edge.connecting import connected
from actors.edge.fence import Fence
from actors.edge.live_client import LiveClient, Options
from actors.edge.outages import Outages
from actors.edge.outgoing import HEADERS_BYTES_MAX, SURELY_SHORT, Outgoing, Refusal, instead_of
from actors.edge.parser import After, Deliver, InlineParser, supported
from actors.runtime.request import Replies
from messages.redacting import check_servers, secrets_in, shown, without
from messages.subjects import PREFIX

RETRY_S: Final = 0.25
# Far above what the registry lets wait: overload is answered, never dropped in silence.
PENDING_MESSAGES_MAX: Final = 1_048_576
PENDING_BYTES_MAX: Final = 1024 * 1024 * 1024

_log = structlog.get_logger(__name__)


class ConnectionFailed(Exception):
    """The connection cannot be made; the message says why in one line."""


class AddressUnusable(ConnectionFailed):
    """It never can: no server has that address, or a package that it needs is missing."""


class Connection:
    """A connection that reconnects for ever.

    Attributes:
        client: nats-py's client.
        url: where it leads, without secrets.
        outages: says whether the connection is away, and why.
        closed: set when the connection is over for good.
        reconnected: called, each of them, after every reconnect; they must not raise.
    """

    def __init__(
        self,
        client: LiveClient,
        url: str,
        *,
        closing: asyncio.Event,
        closed: asyncio.Event,
        reconnected: list[Callable[[], None]],
        outages: Outages,
        prefix: str = PREFIX,
    ) -> None:
        self.client: Any = client
        self.outages = outages
        self.url = url
        self.closed = closed
        self.reconnected = reconnected
        self._closing = closing
        self._parser = InlineParser.install(client) if supported(client) else None
        self._clock = SystemClock()
        self._outgoing = Outgoing(client, prefix, self._clock) if self._parser is not None else None
        self._refusal = Refusal(prefix)
        self._backlog: asyncio.Queue[tuple[bytes, bytes, dict[str, str] | None]] = asyncio.Queue()
        self._sender: asyncio.Task[None] | None = None
        if self._parser is None:
            _log.warning("inline_dispatch_off", reason="this nats-py is not known")
            self._sender = asyncio.create_task(self._send_backlog())

    @classmethod
    async def connect(
        cls,
        url: str,
        options: Options | dict[str, Any],
        *,
        name: str,
        prefix: str = PREFIX,
        patient: bool = False,
    ) -> Connection:
        """Connect once, then keep connected; nobody is answered below ``prefix``.

        ``options`` are those of nats-py, or give them: then they are asked for at each try.
        Who is ``patient`` tries until it is cancelled: the server may not be there yet, and a
        person may put right for what it refuses. The log says so.

        Raises:
            ConnectionFailed: no connection within 10 s, or refused.
            AddressUnusable: no server can have that address, or none is reached from here as it is.
        """
        closing, closed = asyncio.Event(), asyncio.Event()
        reconnected: list[Callable[[], None]] = []

        async def on_reconnected() -> None:
            outages.end()
            for tell in reconnected:
                tell()

        async def on_closed() -> None:
            closed.set()

        given = options() if callable(options) else options
        read = options if callable(options) else lambda: given
        address = shown(url)
        secrets = secrets_in(url, given.get("password"))
        outages = Outages(secrets, address)
        settings: dict[str, Any] = {
            "name": name,
            "no_echo": True,
            "max_outstanding_pings": 2,
            **given,
        }
        lasting = {
            **settings,
            "error_cb": outages.on_error,
            "closed_cb": on_closed,
            "reconnected_cb": on_reconnected,
        }
        try:
            servers, wait_s = check_servers(url), given.get("reconnect_time_wait", RETRY_S)
            make = partial(LiveClient, read, outages)
            client = await connected(
                make, servers, settings, lasting, outages if patient else None, wait_s
            )
        except (OSError, nats.errors.Error, TimeoutError, ValueError, ImportError) as error:
            why = without(secrets, str(error)) or type(error).__name__
            is_passing = isinstance(error, OSError | nats.errors.Error | TimeoutError)
            kind = ConnectionFailed if is_passing else AddressUnusable
            raise kind(f"cannot connect to NATS at {address}: {why}") from None
        outages.end()
        return cls(
            client,
            address,
            closing=closing,
            closed=closed,
            reconnected=reconnected,
            outages=outages,
            prefix=prefix,
        )

    async def serve(
        self, subject: str, queue: str, deliver: Deliver, after: After | None = None
    ) -> Subscription:
        """Hand every message on ``subject`` to ``deliver``, synchronously and in order.

        ``after`` is called behind each read, and says who takes the messages of the next one;
        not if this nats-py is not known.
        """

        def behind(count: int) -> Deliver:
            self.hand_over()
            return deliver if after is None else after(count)

        async def on_message(message: Msg) -> None:
            headers = message.headers or {}
            block = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            reply_to = message.reply.encode("utf-8", "surrogateescape")
            deliver(message.subject.encode(), reply_to, message.data, block.encode())

        subscription: Subscription = await self.client.subscribe(
            subject,
            queue=queue,
            cb=on_message,
            pending_msgs_limit=PENDING_MESSAGES_MAX,
            pending_bytes_limit=PENDING_BYTES_MAX,
        )
        if self._parser is not None:
            assert self._outgoing is not None
            self._parser.serve(subscription._id, deliver, behind, self._outgoing.room)
        return subscription

    async def listen(
        self, subject: str, callback: Callable[[Msg], Awaitable[None]]
    ) -> Subscription:
        """An ordinary subscription, for the few messages of control subjects."""
        subscription: Subscription = await self.client.subscribe(subject, cb=callback)
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Take no more messages; those that the server sent before are delivered first."""
        drain: Callable[[], Awaitable[None]] = subscription.drain
        try:
            await drain()
        except (nats.errors.Error, OSError) as error:
            _log.warning("unsubscribe_failed", error=str(error) or type(error).__name__)

    async def publish(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None = None,
        *,
        reply_to: str = "",
    ) -> None:
        """Publish a message. Raises what nats-py raises."""
        await self.client.publish(subject, payload, reply_to, headers=headers)

    @property
    def server_version(self) -> str:
        """That of the server that the connection leads to now, empty if it does not say."""
        server = self.client._current_server
        return str(server.server_version or "") if server else ""

    @property
    def replies(self) -> Replies:
        """Where answers to what is served leave: `send`, without a step in between."""
        return self if self._outgoing is None else self._outgoing

    def send(self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Send an answer; never blocks, never raises."""
        if self._outgoing is not None:
            self._outgoing.send(reply_to, payload, headers)
            return
        if self._refusal.of(reply_to) or len(reply_to) > SURELY_SHORT:
            return
        if len(payload) + HEADERS_BYTES_MAX > self.client.max_payload:
            payload, headers = instead_of(payload, self.client.max_payload, self.now())
        self._backlog.put_nowait((reply_to, payload, headers))

    def now(self) -> int:
        """See `Replies`."""
        return self._clock.now()

    def on_connected(self, tell: Callable[[], None]) -> None:
        """Have this called at each reconnect, before a message arrives; it must not raise."""
        self.client.connected.append(tell)

    def on_size(self, tell: Callable[[], None]) -> None:
        """Have this called whenever the server may take messages of another size."""
        self.client.connected.append(tell)
        self.client.resized.append(tell)

    def may_refuse(self, subjects: Iterable[str]) -> None:
        """Say nothing if the server does not let the service use these subjects."""
        self.outages.optional.update(f'"{subject.lower()}"' for subject in subjects)

    def figures(self) -> dict[str, Any]:
        """What of the connection says whether the service can serve."""
        outages = self.outages
        return {
            "connected": self.client.is_connected and not outages.is_away,
            "connection_losses": outages.losses,
            "connection_reason": outages.reason or None,
            "subscription_refused": outages.untaken or None,
            "answers_undeliverable": self.undeliverable,
        }

    @property
    def undeliverable(self) -> int:
        """How many answers were dropped because their reply subject was too long."""
        return 0 if self._outgoing is None else self._outgoing.undeliverable

    def send_past(
        self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None
    ) -> None:
        """Send an answer also while a fence keeps the others."""
        if self._outgoing is not None:
            self._outgoing.send_past(reply_to, payload, headers)
        else:
            self.send(reply_to, payload, headers)

    def put_behind(self, fence: Fence) -> None:
        """Have requests and answers wait while the fence is closed, as it is at each reconnect.

        They do not if this nats-py is not known.
        """
        if self._parser is None or self._outgoing is None:
            return
        outgoing, parser = self._outgoing, self._parser

        def on_open() -> None:
            parser.renew()  # what waited may be in the queue in front of the edge now
            outgoing.hand_over()

        fence.on_open = on_open
        self._outgoing.guard(fence.stands)
        self._parser.guard(fence.guard)
        self.on_connected(fence.close)
        fence.arm()

    @property
    def losses(self) -> int:
        """How often the connection was lost."""
        return 0 if self._parser is None else self._parser.losses

    def ping(self) -> asyncio.Future[bool] | None:
        """Send a PING; done when its answer is read. None if that cannot be."""
        return None if self._outgoing is None else self._outgoing.ping()

    def send_ready(self, reply_to: bytes, rest: bytes) -> None:
        """Send an answer whose bytes behind the subject are given, if `ping` can."""
        if self._outgoing is not None:
            self._outgoing.send_ready(reply_to, rest)

    def hand_over(self) -> None:
        """Let the answers leave that were sent so far, without waiting for the turn to end."""
        if self._outgoing is not None:
            self._outgoing.hand_over()

    def generation(self) -> int:
        """Which connection this is: a number that grows with each reconnect.

        Raises:
            ConnectionError: there is none now.
        """
        reading = self.client._reading_task
        if not self.client.is_connected or reading is None or reading.done():
            raise ConnectionError("not connected to NATS")
        return int(self.client.stats["reconnects"])

    async def there(self) -> int:
        """Wait until there is a connection; its `generation`."""
        while True:
            try:
                return self.generation()
            except ConnectionError:
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Wait until the server has what was sent before. Raises what nats-py raises."""
        try:
            if self._outgoing is not None:
                self._outgoing.push()
            await self.client.flush(timeout=5)
        except RuntimeError as error:  # uvloop's word for a connection that was lost in this turn
            raise ConnectionError(str(error)) from error

    async def close(self) -> None:
        """Send what is left and close the connection."""
        self._closing.set()
        if self._sender is not None:
            await self._backlog.join()
            self._sender.cancel()
        if not self.client.is_connected:
            self.client.discard()
        try:
            self.hand_over()
            if self.client.is_connected:
                await self.client.flush(timeout=5)
            await self.client.close()
        except RuntimeError:  # uvloop's word for a connection that was lost in this turn
            _log.warning("close_failed", error="the connection was lost meanwhile")
        except (nats.errors.Error, OSError, TimeoutError) as error:
            _log.warning("close_failed", error=str(error) or type(error).__name__)

    async def _send_backlog(self) -> None:
        while True:
            reply_to, payload, headers = await self._backlog.get()
            try:
                await self.client.publish(reply_to.decode(), payload, headers=headers)
            except (nats.errors.Error, ValueError) as error:
                _log.warning("reply_dropped", reason=str(error) or type(error).__name__)
            finally:
                self._backlog.task_done()
