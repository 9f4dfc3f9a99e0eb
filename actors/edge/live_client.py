"""nats-py's client, so that it never gives up and reads its credentials anew at each try.

As it is, nats-py keeps the TLS context, the public key and the password of its first connection;
ends for good if the server says that credentials have expired or were revoked; and ends its
reconnecting, without a word, when a try fails by an error that it does not know (uvloop says
RuntimeError of a lost connection, nkeys has errors of its own).

It overrides private methods. In a nats-py that has them no more, what this adds is not there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import nats.errors
import structlog
from nats.aio.client import Client

from actors.edge.outages import CredentialsUnreadable, Outages
from persistence.exhaustion import tell_if_exhausted

Options = Callable[[], dict[str, Any]]
"""Gives the options of nats-py's ``connect``, from what the files hold now."""

_log = structlog.get_logger(__name__)
_LOG: Final = "nats.aio.client"
_RENEWED: Final = ("tls", "user", "password")
_TASKS: Final = ("_reading_task", "_ping_interval_task", "_flusher_task")


class LiveClient(Client):
    """A client whose losses are followed and whose credentials are read at each try.

    Args:
        options: gives the credentials among its options; what it raises fails one try.
        outages: is told of losses.

    Attributes:
        connected: called, each of them, when a connection is there and before anything arrives
            on it; they must not raise.
        resized: called, each of them, when the server says on a connection how large a message
            may be; they must not raise.
    """

    def __init__(self, options: Options, outages: Outages) -> None:
        super().__init__()
        self._read_options = options
        self._outages = outages
        self.connected: list[Callable[[], None]] = []
        self.resized: list[Callable[[], None]] = []
        logging.getLogger(_LOG).addFilter(_hear)

    def discard(self) -> None:
        """Forget what is unsent: there is no connection to send it on."""
        self._pending = []
        self._pending_data_size = 0

    async def give_up(self) -> None:
        """Connect no more, and close in silence what there is of a connection."""
        self.options["allow_reconnect"] = False
        if self._transport is None:  # what nats-py would flush is not there either
            return
        try:
            await self.close()
        except (OSError, nats.errors.Error, RuntimeError, TimeoutError) as error:
            # It was given up because of such a failure; the socket goes with its client.
            _log.debug("close_failed", error=str(error) or type(error).__name__)

    async def _process_connect_init(self) -> None:
        self._end_tasks()
        self._renew()
        try:
            await super()._process_connect_init()
        except (OSError, nats.errors.Error, TimeoutError):
            raise
        except Exception as error:
            raise ConnectionError(str(error) or type(error).__name__) from error
        for tell in self.connected:
            tell()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """As nats-py, which takes the greatest size of a message of the first INFO only."""
        await super()._process_info(info, initial_connection)
        size = info.get("max_payload")
        if not initial_connection and isinstance(size, int):
            self._max_payload = size
            for tell in self.resized:
                tell()

    def _end_tasks(self) -> None:
        for name in _TASKS:
            task: asyncio.Task[None] | None = getattr(self, name, None)
            if task is not None:
                task.cancel()

    def _renew(self) -> None:
        try:
            found = self._read_options()
            self.options.update((name, found[name]) for name in _RENEWED if name in found)
            self._user_credentials = found.get("user_credentials")
            self._nkeys_seed_str = found.get("nkeys_seed_str")
            if self._user_credentials or self._nkeys_seed_str:
                self._setup_nkeys_connect()
        except Exception as error:
            raise Unreadable(str(error) or type(error).__name__) from error

    async def _process_err(self, err_msg: str) -> None:
        text = err_msg.strip().strip("'")
        if "permissions violation" in text.lower():
            await super()._process_err(err_msg)
        else:  # the server ends the connection, for a reason that may pass
            await self._process_op_err(nats.errors.Error(f"nats: {text}"))

    async def _process_op_err(self, e: Exception) -> None:
        connected = self.is_connected or self.is_connecting
        if connected and self.options["allow_reconnect"]:
            self._outages.begin(e)
        await super()._process_op_err(e)

    async def _attempt_reconnect(self) -> None:
        while True:
            try:
                await super()._attempt_reconnect()
            except Exception as error:  # noqa: BLE001 -- whatever it is, the next try may succeed
                await self._outages.on_error(error)
            else:
                return
            self._status = Client.RECONNECTING
            await asyncio.sleep(self.options["reconnect_time_wait"])


def _hear(record: logging.LogRecord) -> bool:
    # At an error that it does not know nats-py reads no more, and tells its log alone of it.
    tell_if_exhausted(record.exc_info[1] if record.exc_info else None)
    return True


class Unreadable(CredentialsUnreadable, ConnectionError):
    """`CredentialsUnreadable`, of a kind for which nats-py tries again."""
