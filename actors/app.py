"""The composition root: the only module that names concrete classes.

Everything is opened in order (journal, server, connection, claim, actors, edge) and closed in
reverse; what the log knows is read while the claim listens. A stop drains: no more requests are
taken, those that were taken are answered, the state is snapshotted.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from importlib import metadata
from typing import Any, Final

import nats.errors
import structlog
from nats.aio.subscription import Subscription

from actors.billing.catalog.defaults import default_catalog
from actors.billing.reports.usage_log import PAGE_BYTES_MAX
from actors.billing.state.account import Account
from actors.billing.usage.privacy import Privacy
from actors.catalog.actor import await_catalog
from actors.catalog.registering import Registering
from actors.clock import Clock, SystemClock
from actors.edge.connection import Connection
from actors.edge.discovery import NAME, QUEUE, Discovery
from actors.edge.dispatch import OWN, Edge
from actors.edge.fence import Fence
from actors.edge.load_shedding import LoadShedder
from actors.edge.ownership import Claim, above, subject_of
from actors.edge.request_log import RequestLog
from actors.edge.streams import NAMES, tell_of_capturing
from actors.factory import Restoring
from actors.maintenance.archive import Archiving
from actors.maintenance.closing import Closing
from actors.maintenance.control import Upkeep
from actors.persistent.administration import tell_of_users
from actors.persistent.context import ActorContext
from actors.persistent.timeline import Timeline
from actors.publishing.outbox import Relay
from actors.publishing.streams import ALERTS, EVENTS, Streams
from actors.runtime.registry import Bounds, Registry
from actors.runtime.request import Request
from actors.settings.config import Config
from actors.user.actor import UserActor
from actors.waits import DEFAULT_WAITS, Waits
from messages.catalog import CATALOG_USER, PlansList
from messages.codec import encode_reply, error_headers
from messages.errors import ErrorReply, RequestError
from messages.units import to_datetime
from persistence.errors import NotStored
from persistence.exhaustion import tell_if_exhausted, tell_of
from persistence.journal import Journal
from persistence.key_filter import KeyFilter
from persistence.writer import Block, Writer

VERSION: Final = metadata.version(NAME)
DISK_FAILED: Final = "the disk failed; the log on stderr says how"
_OUTBOX_S: Final = 5.0
PAGE_OVERHEAD_BYTES: Final = 4096
"""What a reply needs beside the entries of a page."""

_log = structlog.get_logger(__name__)

End = Callable[[str], None]
"""Ends the process: with an empty reason when told to, else with what failed."""


class StartError(Exception):
    """The service cannot start; the message is one line."""


class Service:
    """All parts of one running service, wired.

    Args:
        config: the settings.
        journal: the open journal, which the caller closes.
        connection: to NATS, which the caller closes.
        end: called when the service cannot go on.
        clock: says what time it is; by default the system's.
        privacy: the rules for personal fields; None: all are kept as they come.
        waits: how long the parts wait.
    """

    def __init__(
        self,
        config: Config,
        journal: Journal,
        connection: Connection,
        end: End,
        clock: Clock | None = None,
        *,
        privacy: Privacy | None = None,
        waits: Waits = DEFAULT_WAITS,
    ) -> None:
        self._config = config
        self._connection = connection
        self._end = end
        self._waits = waits
        self._clock = clock or SystemClock()
        self._instance = secrets.token_hex(11)
        self._stack = AsyncExitStack()
        self._subscription: Subscription | None = None
        self._fence: Fence | None = None
        wanted = ((config.keeps_alerts, ALERTS), (config.keeps_events, EVENTS))
        kept = [stream for is_wanted, stream in wanted if is_wanted]
        streams = Streams(connection, config.prefix, kept)
        self._relay = Relay(
            config.prefix, journal, streams, retry_s=waits.publish_retry, mark_s=waits.mark
        )
        self._writer = Writer(
            journal,
            on_durable=self._on_durable,
            on_failure=self._on_failure,
            on_resumed=self._relay.reread,
            on_disk_failed=lambda: end(DISK_FAILED),
            on_released=connection.hand_over,
            retry_s=waits.log_retry,
        )
        writer = self._writer
        self._times = Timeline(self._clock, lambda: writer.next_seq)
        self._context = ActorContext(
            queries=journal,
            retention=journal,
            writer=self._writer,
            keys=KeyFilter(),
            catalog=default_catalog(),
            times=self._times,
            snapshot_events=config.snapshot_events,
            privacy=privacy,
            live=self._live,
        )
        self._context.catalog.providers.registers = config.registers_providers
        self._fit_pages()
        connection.on_size(self._fit_pages)
        self._archiving = Archiving(self._context)
        self._registry = Registry(
            Restoring(self._context),
            self._ready,
            _bounds(config),
            now=asyncio.get_running_loop().time,
            clock=self._clock.now,
            kept=(CATALOG_USER,),
        )
        flushed = self._writer.flushed
        self._context.register = Registering(self._registry.dispatch, self._clock.now).register
        self._closing = Closing(journal, self._registry, self._clock, flushed, look_s=waits.look)
        replies, log = connection.replies, None
        if config.logs_requests:
            replies = log = RequestLog(replies, self._clock.ticks)
        self._requests = log
        self._edge = Edge(config.prefix, self._registry.dispatch, replies, self._clock)
        self._deliver = self._edge.deliver if log is None else log.around(self._edge)
        self._shedder = self._load_shedder()

    def _load_shedder(self) -> LoadShedder:
        log = self._requests
        return LoadShedder(
            self._edge,
            self._connection,
            self._writer,
            self._clock.ticks,
            asyncio.get_running_loop().call_soon,
            waiting=lambda: self._registry.waiting,
            waiting_max=self._config.waiting_max,
            deliver=self._deliver,
            on_refused=None if log is None else log.refused,
        )

    async def start(self, *, own_server: bool = False) -> None:
        """Open everything; requests are served when this returns.

        Args:
            own_server: whether this process has just started the NATS server, for itself.

        Raises:
            StartError: another meterd serves the prefix, or NATS refuses.
            JournalError: the journal cannot be read.
        """
        try:
            prefix, claim_s, again_s = self._config.prefix, self._waits.claim, self._waits.reclaim
            claim = Claim(
                self._connection, prefix, self._instance, claim_s=claim_s, reclaim_s=again_s
            )
            self._connection.may_refuse([NAMES, *map(subject_of, above(prefix))])
            await self._load_while(claim, own_server=own_server)
            self.watch(await self._writer.start(), "the journal's writer ended")
            self._times.begin()
            self.watch(await self._relay.start(), "the relay of the outbox ended")
            self.watch(asyncio.create_task(self._sweep()), "the sweep of idle users ended")
            self._subscription = await self._connection.serve(
                f"{prefix}.>", QUEUE, self._deliver, self._shedder.after_read
            )
            self._shedder.after_read(0)  # the first PING tells how far away the server is
            await Discovery(
                self._connection,
                instance=self._instance,
                version=VERSION,
                prefix=prefix,
                started=to_datetime(self._clock.now()),
                tallies=self._edge.tallies,
                figures=self._figures,
            ).serve()
            await self._upkeep().serve()
            await self._connection.flush()
            fence = self._fence = Fence(self._clock.ticks, claim_s, self._refuse)
            self._connection.put_behind(fence)
            if await self._connection.there() != claim.generation:
                fence.close()  # as at each loss: another meterd may have claimed the prefix unheard
            self._stack.callback(fence.disarm)
            self.watch(
                asyncio.create_task(claim.keep(fence)), "another meterd serves the prefix too"
            )
            self.watch(asyncio.create_task(self._closing.run()), "the look for ends ended")
            looking = tell_of_capturing(self._connection.client, prefix)
            self._accompany(asyncio.create_task(looking))
        except (nats.errors.Error, OSError) as error:
            why = str(error) or type(error).__name__
            raise StartError(f"NATS does not let the service start: {why}") from error

    def _upkeep(self) -> Upkeep:
        dispatch, archive = self._registry.dispatch, self._archiving.step
        prefix, connection, log = self._config.prefix, self._connection, self._requests
        return Upkeep(prefix, connection, dispatch, self._snapshot, archive, log)

    async def stop(self) -> None:
        """Drain: answer every request that was taken, snapshot, publish what is left."""
        await self._archiving.close()
        self._closing.halt()
        try:
            async with asyncio.timeout(self._config.drain_s):
                await self._drain()
        except TimeoutError:
            _log.error("drain_timed_out", waiting=self._registry.waiting)
            if self._fence is not None and self._fence.closed:
                self._fence.lose()
        await self._registry.close()
        self._shedder.close()
        await self._stack.aclose()
        self._writer.abandon()

    @property
    def position(self) -> int:
        """Up to which position the log is durable."""
        return self._writer.durable

    def watch(self, task: asyncio.Task[Any], what: str) -> None:
        """Own a task that is to run as long as the service: its end is the service's."""

        def on_done(task: asyncio.Task[Any]) -> None:
            if task.cancelled():
                return
            error = task.exception()
            tell_if_exhausted(error)
            if error is not None:
                _log.error("task_failed", task=task.get_name(), exc_info=error)
            self._end(what)

        async def cancel() -> None:
            task.remove_done_callback(on_done)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        task.add_done_callback(on_done)
        self._stack.push_async_callback(cancel)

    def _refuse(self, subject: bytes, reply_to: bytes, why: RequestError) -> None:
        """Refuse a request that was not looked at."""
        route = self._edge.route_of(subject)
        if route.kind is OWN or (route.silent and not reply_to):
            return  # no request, as for the edge
        if self._requests is not None:
            self._requests.refused(route, why.code)
        if reply_to:
            body = encode_reply(ErrorReply(why.body()))
            self._connection.send_past(reply_to, body, error_headers(why))

    def _fit_pages(self) -> None:
        """Have pages fit into a message of the server that the connection leads to now."""
        room = self._connection.client.max_payload - PAGE_OVERHEAD_BYTES
        self._context.page_bytes_max = min(PAGE_BYTES_MAX, room)

    def _accompany(self, task: asyncio.Task[None]) -> None:
        """Own a task that may end before the service does."""
        task.add_done_callback(tell_of)

        async def cancel() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(cancel)

    async def _load_while(self, claim: Claim, *, own_server: bool) -> None:
        """Read what the log knows while other meterds may answer the claim."""
        claiming = asyncio.create_task(claim.take(own_server=own_server))
        try:
            await self._context.queries.load_keys(self._context.keys)
            await await_catalog(self._context)  # before the first call is priced
            rival = await claiming
        finally:
            claiming.cancel()
            await asyncio.gather(claiming, return_exceptions=True)
        if rival is not None:
            theirs, ours = claim.rival_prefix, self._config.prefix
            overlaps = "" if theirs == ours else f", whose subjects and those of {ours} overlap"
            raise StartError(f"another meterd ({rival}) serves {theirs} here{overlaps}")

    async def _drain(self) -> None:
        if self._subscription is None:
            return  # it never served
        await self._connection.unsubscribe(self._subscription)
        if self._fence is not None:
            await self._fence.passed()
        await self._shedder.emptied()
        await self._registry.quiesce()
        if self._writer.accepting:
            await self._registry.snapshot_all()
        with suppress(NotStored):  # whoever waited for it has been told
            await self._writer.flushed()
        try:
            async with asyncio.timeout(_OUTBOX_S):
                await self._relay.emptied()
        except TimeoutError:
            _log.warning("outbox_not_empty", next_start="publishes the rest")
        if self._fence is not None:
            await self._fence.passed()  # if it stood still meanwhile, answers wait there

    async def _snapshot(self) -> dict[str, int]:
        users = await self._registry.snapshot_all()
        await self._writer.flushed()
        _log.info("snapshots_written", users=users, seq=self.position)
        return {"users": users, "seq": self.position}

    def _live(self, user: str) -> Account | None:
        actor = self._registry.actor(user)
        return actor.account if isinstance(actor, UserActor) else None

    async def _ready(self, after_drop: bool) -> None:
        if after_drop:
            with suppress(NotStored):  # the actor is loaded from what is stored
                await self._writer.flushed()
        await self._writer.ready()

    def _on_durable(self, block: Block) -> None:
        noticed = [row for row in block.rows if row.notify]
        if noticed:
            tell_of_users(noticed)
            self._relay.take(noticed)
            self._closing.take(noticed)

    def _on_failure(self, users: set[str]) -> None:
        self._registry.forget(users)
        if CATALOG_USER in users:
            # A change that is stored all the same takes effect when the catalogue is read again.
            self._registry.dispatch(Request(CATALOG_USER, "", PlansList(), b"", self._connection))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(self._config.idle_s / 4, self._waits.sweep))
            left = self._registry.passivate()
            while left:
                await asyncio.sleep(0)
                left = self._registry.passivate(left)

    def _figures(self) -> dict[str, Any]:
        return {
            "live_users": len(self._registry),
            "waiting": self._registry.waiting,
            "durable_seq": self._writer.durable,
            "accepting": self._writer.accepting,
            "overloaded": self._shedder.strict,
            **self._connection.figures(),
        }


def _bounds(config: Config) -> Bounds:
    return Bounds(
        live_max=config.live_users_max,
        live_bytes_max=config.live_bytes_max,
        idle_s=config.idle_s,
        recoveries_max=config.recoveries_max,
        waiting_max=config.waiting_max,
        waiting_per_user_max=config.waiting_per_user_max,
    )
