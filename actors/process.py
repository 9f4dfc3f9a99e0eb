"""One process: settings, signals, the ready line, exit codes."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

import structlog

from actors.app import DISK_FAILED, VERSION, End, Service, StartError
from actors.clock import SystemClock
from actors.edge.connection import Connection, ConnectionFailed
from actors.edge.discovery import NAME
from actors.edge.nats_server import EmbeddedError, EmbeddedServer
from actors.settings.config import Config, ConfigError
from actors.settings.logging import configure_logging
from actors.settings.nats_options import connect_options
from actors.settings.privacy import privacy_of
from messages.redacting import secrets_in
from messages.stored.form import FORM
from persistence.errors import JournalError
from persistence.sqlite.journal import SQLiteJournal

FAILED: Final = 1
MISUSED: Final = 2
_CLOSED: Final = "NATS closed the connection; the log on stderr says why"
# The collector's default thresholds cost a third of the throughput: the many containers of
# live users are walked again and again. What exists after start is taken out of its sight.
_GC_THRESHOLDS: Final = (200_000, 20, 50)
_NS: Final = 1_000_000_000

_log = structlog.get_logger(__name__)


def run(config: Config, *, embedded: bool) -> int:
    """Run the service until it is told to stop; returns the exit code.

    0: drained after SIGTERM or SIGINT. 1: could not start, or failed. 2: misconfigured.
    One line on stderr says why.
    """
    configure_logging(config.log_level, secrets_in(config.nats_url, config.nats_password))
    # Whatever this process, SQLite or its nats-server makes is for its owner alone.
    os.umask(0o077)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(config, embedded=embedded))
    except ConfigError as error:
        _say(str(error))
        return MISUSED
    except (StartError, JournalError, EmbeddedError, ConnectionFailed) as error:
        _say(str(error))
        return FAILED


async def _serve(config: Config, *, embedded: bool) -> int:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[str] = loop.create_future()

    def end(why: str) -> None:
        if not over.done():
            over.set_result(why)

    told: list[str] = []

    def on_signal(number: signal.Signals) -> None:
        told.append(number.name)
        end("")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    options, privacy = partial(connect_options, config), privacy_of(config)
    options()  # what is wrong is said before anything is opened
    async with AsyncExitStack() as stack:
        journal = await SQLiteJournal.open(config.data_dir, FORM, ticks=SystemClock().ticks)
        stack.push_async_callback(_close, journal, over)
        url = await _start_server(config, stack, end) if embedded else config.nats_url
        connection = await Connection.connect(url, options, name=NAME, prefix=config.prefix)
        stack.push_async_callback(connection.close)
        service = Service(config, journal, connection, end, privacy=privacy)
        stack.push_async_callback(_stop, service, over)
        await service.start(own_server=embedded)
        service.watch(asyncio.create_task(connection.closed.wait()), _CLOSED)
        service.watch(asyncio.create_task(journal.displaced()), DISK_FAILED)
        _settle_memory()
        _tell_started(config, connection, service, embedded=embedded)
        ready = {
            "event": "ready",
            "nats_url": connection.url,
            "version": VERSION,
            "pid": os.getpid(),
        }
        print(json.dumps(ready), flush=True)  # noqa: T201 -- the contract's line on stdout
        why = await over
        if why:
            _log.error("stopping", why=why)
        else:
            _log.info("stopping", why=told[0])
    if why:
        _say(why)
        return FAILED
    return 0


def _tell_started(
    config: Config, connection: Connection, service: Service, *, embedded: bool
) -> None:
    _log.info(
        "started",
        version=VERSION,
        command="up" if embedded else "serve",
        pid=os.getpid(),
        prefix=config.prefix,
        data_dir=str(config.data_dir.absolute()),
        server=connection.url,
        server_version=connection.server_version,
        seq=service.position,
        log=config.log_level.lower(),
    )


async def _stop(service: Service, over: asyncio.Future[str]) -> None:
    ticks = SystemClock().ticks
    began = ticks()
    await service.stop()
    if over.done():  # else it never started, and one line says why
        seconds = round((ticks() - began) / _NS, 3)
        _log.info("stopped", drain_s=seconds, seq=service.position)


async def _close(journal: SQLiteJournal, over: asyncio.Future[str]) -> None:
    if gone := await journal.look():
        # To close is to write to files that no name leads to, and by their names to others.
        _say(gone)
        os._exit(FAILED)
    if over.done() and over.result() == DISK_FAILED:
        # To close is to checkpoint, and what the kernel holds may not be what the disk holds.
        # The next start copies and syncs the WAL in full before anything builds on it.
        _say(DISK_FAILED)
        os._exit(FAILED)
    await journal.close()


async def _start_server(config: Config, stack: AsyncExitStack, end: End) -> str:
    server = EmbeddedServer(
        config.data_dir / "nats",
        port=config.nats_port,
        prefix=config.prefix,
        binary=config.nats_server,
        jetstream=config.streamed,
    )
    url = await server.start()
    stack.push_async_callback(server.stop)
    watch = asyncio.create_task(server.wait())
    watch.add_done_callback(lambda _: end("the nats-server of this process ended"))
    return url


def _settle_memory() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def _loop_factory() -> Callable[[], Any] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop  # noqa: PLC0415 -- an extra

    factory: Callable[[], Any] = uvloop.new_event_loop
    return factory


def _say(why: str) -> None:
    print(f"meterd: {why}", file=sys.stderr, flush=True)  # noqa: T201 -- one clear line
