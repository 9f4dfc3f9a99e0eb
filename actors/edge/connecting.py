"""How a client of NATS gets its first connection, and what is left of one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import nats.errors

from actors.edge.live_client import LiveClient
from actors.edge.outages import Outages

CONNECT_S: Final = 10.0
CANCEL_S: Final = 0.1


async def connected(
    make: Callable[[], LiveClient],
    servers: list[str],
    settings: dict[str, Any],
    lasting: dict[str, Any],
    missing: Outages | None,
    wait_s: float,
) -> LiveClient:
    """A client that is connected, and stays so.

    Args:
        make: makes a client.
        servers: where to connect.
        settings: nats-py's options.
        lasting: those of the client that stays.
        missing: is told of each try that fails, and then there is another one, unless it failed
            for good; None: one try has to do.
        wait_s: between two tries.

    Raises:
        OSError: and the errors of nats-py, TimeoutError: the try failed; the one that says why.
        ValueError: it can never succeed.
        ImportError: an address of that kind needs a package that is missing.
    """
    while True:
        failures: list[Exception] = []
        try:
            return await _try(make(), make(), servers, settings, lasting, failures, missing)
        except (OSError, nats.errors.Error, TimeoutError, ValueError) as error:
            cause = failures[0] if failures else error
            # A wrong certificate is a ValueError as well, and can be put right there.
            for_good = isinstance(error, ValueError) and not isinstance(error, OSError)
            if for_good or missing is None:
                raise cause from None
            if not missing.is_away:
                await missing.on_missing(cause)
        await asyncio.sleep(wait_s)


async def _try(
    probe: LiveClient,
    client: LiveClient,
    servers: list[str],
    settings: dict[str, Any],
    lasting: dict[str, Any],
    failures: list[Exception],
    missing: Outages | None,
) -> LiveClient:
    """The client, connected; else neither of the two is, and ``failures`` has the newest one."""

    async def on_failure(error: Exception) -> None:
        if isinstance(error, ImportError):
            raise error  # no server can change that
        failures[:] = [error]  # tried again and again; told once, if that was in vain
        if missing is not None:
            await missing.on_missing(error)

    # The first try must fail loudly; later ones wait for ever.
    first = {**settings, "allow_reconnect": False, "error_cb": on_failure}
    try:
        await _in_time(probe.connect(servers, **first))
        await probe.close()
        await _in_time(client.connect(servers, **lasting))
    except BaseException:
        for begun in (probe, client):
            await begun.give_up()
        raise
    return client


async def _in_time(connecting: Coroutine[Any, Any, None]) -> None:
    """Connect, within `CONNECT_S`.

    Until Python 3.12 `asyncio.wait_for`, which nats-py tries with, swallows a cancellation that
    comes in the moment in which a try fails; it would then try for ever. So it is said again.
    """
    task = asyncio.ensure_future(connecting)
    try:
        await asyncio.wait({task}, timeout=CONNECT_S)
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_S)
    if task.cancelled():
        raise TimeoutError
    task.result()
