"""One process: settings, signals, the ready line, exit codes."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import sys
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from signal import SIGINT, Signals
from typing import Any, Final

import structlog

from actors.app import DISK_FAILED, VERSION, End, Service, StartError
from actors.clock import SystemClock
from actors.edge.connection import AddressUnusable, Connection, ConnectionFailed
from actors.edge.discovery import NAME
from actors.edge.nats_server import EmbeddedError, EmbeddedServer
from actors.leaving import INTERRUPTED, give_up
from actors.settings.config import Config, ConfigError
from actors.settings.logging import configure_logging
from actors.settings.nats_options import connect_options
from actors.settings.output import Patient, let_go
from actors.settings.privacy import privacy_of
from actors.stopping import Stopping
from messages.redacting import secrets_in
from messages.stored.form import FORM
from persistence.damage import in_full
from persistence.errors import JournalError
from persistence.exhaustion import is_exhausted
from persistence.sqlite.journal import SQLiteJournal

FAILED: Final = 1
MISUSED: Final = 2
_CLOSED: Final = "NATS closed the connection; the log on stderr says why"
# The collector's default thresholds cost a third of the throughput: the many containers of
# live users are walked again and again. What exists after start is taken out of its sight.
_GC_THRESHOLDS: Final = (200_000, 20, 50)
_NS: Final = 1_000_000_000
_PARENT_ENDED: Final = "the process that started it has ended"

_log = structlog.get_logger(__name__)


def run(config: Config, *, embedded: bool, parent: int | None = None) -> int:
    """Run the service until it is told to stop; returns the exit code.

    0: drained after SIGTERM, SIGINT or SIGHUP, or told to stop while it started. 1: could not
    start, or failed. 2: misconfigured. 130: SIGINT while it started. Of 1 and 2 one line on
    stderr says why.

    Args:
        config: the settings.
        embedded: whether with a nats-server of its own.
        parent: the process whose end is a word to stop, the parent of this one; None: none is.
    """
    configure_logging(config.log_level, secrets_in(config.nats_url, config.nats_password))
    # Whatever this process, SQLite or its nats-server makes is for its owner alone.
    os.umask(0o077)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(config, embedded=embedded, parent=parent))
    except (ConfigError, AddressUnusable) as error:
        _say(str(error))
        return MISUSED
    except JournalError as error:
        _say(in_full(error))
        return FAILED
    except (StartError, EmbeddedError, ConnectionFailed) as error:
        _say(str(error))
        return FAILED


async def _serve(config: Config, *, embedded: bool, parent: int | None) -> int:
    stopping = Stopping()
    stopping.listen()
    if parent is not None:
        stopping.follow(parent)
    asyncio.get_running_loop().set_exception_handler(_hear)
    threading.excepthook = _hear_of_thread
    async with AsyncExitStack() as stack:
        try:
            await stopping.spared(_start(config, stack, stopping, embedded=embedded))
        except Exception as error:
            if is_exhausted(error):
                give_up()
            raise
        why = await stopping.told
        if stopping.has_started:
            _tell_stopping(why, stopping.by)
    if why:
        _say(why)
        return FAILED
    return INTERRUPTED if stopping.by == SIGINT and not stopping.has_started else 0


async def _start(
    config: Config, stack: AsyncExitStack, stopping: Stopping, *, embedded: bool
) -> None:
    """Open everything, whose end is that of the stack, and say that it is ready."""
    options, privacy = partial(connect_options, config), privacy_of(config)
    options()  # what is wrong is said before anything is opened
    journal = await SQLiteJournal.open(config.data_dir, FORM, ticks=SystemClock().ticks)
    stack.push_async_callback(_close, journal, stopping.told)
    end = stopping.end
    url = await _start_server(config, stack, end) if embedded else config.nats_url
    connection = await Connection.connect(
        url, options, name=NAME, prefix=config.prefix, patient=not embedded
    )
    stack.push_async_callback(connection.close)
    service = Service(config, journal, connection, end, privacy=privacy)
    stack.push_async_callback(_stop, service, stopping)
    await service.start(own_server=embedded)
    service.watch(asyncio.create_task(connection.closed.wait()), _CLOSED)
    service.watch(asyncio.create_task(journal.displaced()), DISK_FAILED)
    _settle_memory()
    _tell_started(config, connection, service, embedded=embedded)
    _announce(connection.url)


def _hear(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    if is_exhausted(context.get("exception")):
        give_up()
    loop.default_exception_handler(context)


def _hear_of_thread(failed: threading.ExceptHookArgs) -> None:
    # A thread of the journal that dies leaves whoever waits for it waiting.
    if is_exhausted(failed.exc_value):
        give_up()
    threading.__excepthook__(failed)


def _announce(url: str) -> None:
    ready = {"event": "ready", "nats_url": url, "version": VERSION, "pid": os.getpid()}
    try:
        print(json.dumps(ready), flush=True)  # noqa: T201 -- the contract's line on stdout
    except OSError as error:  # whoever has read it would have been served all the same
        _log.warning("ready_not_written", error=error.strerror)
        let_go(sys.stdout)


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


def _tell_stopping(why: str, by: int) -> None:
    if why:
        _log.error("stopping", why=why)
    else:
        _log.info("stopping", why=Signals(by).name if by else _PARENT_ENDED)


async def _stop(service: Service, stopping: Stopping) -> None:
    ticks = SystemClock().ticks
    began = ticks()
    await service.stop()
    if stopping.has_started:  # else one line, or none, says why
        seconds = round((ticks() - began) / _NS, 3)
        _log.info("stopped", drain_s=seconds, seq=service.position)


async def _close(journal: SQLiteJournal, told: asyncio.Future[str]) -> None:
    if gone := await journal.look():
        # To close is to write to files that no name leads to, and by their names to others.
        _say(gone)
        os._exit(FAILED)
    if told.done() and told.result() == DISK_FAILED:
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
    print(f"meterd: {why}", file=Patient(sys.stderr), flush=True)
