"""Sends the puts of a plan with many in flight, those of one model one after the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from actors.cli.importer.pricelists.puts import Body, Known, Plan, known_of
from messages.errors import MeterdError

IN_FLIGHT: Final = 64
Ask = Callable[[str, Body], Awaitable[bytes]]
"""Asks something of the catalogue, such as ``prices.put``; retries by itself."""


@dataclass
class Sent:
    """What came of a plan.

    Attributes:
        providers: ids of the providers that were put.
        put: how many prices were put.
        failure: why the rest was not; a repeat puts it.
    """

    providers: list[str]
    put: int = 0
    failure: MeterdError | None = None


async def read_known(ask: Ask) -> tuple[Known, list[dict[str, Any]]]:
    """The rows and the providers of the service, each page once."""
    entries: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = _decoded(await ask("prices.list", {"cursor": cursor}))
        entries += page["prices"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return known_of(entries), _decoded(await ask("providers.list", {}))["providers"]


async def send(ask: Ask, plan: Plan) -> Sent:
    """Put the providers, then the prices, `IN_FLIGHT` models at a time.

    After the first that the service refuses, or does not answer, no other is begun; those that
    are on their way are waited for.
    """
    sent = Sent([])
    try:
        for body in plan.providers:
            await ask("providers.put", body)
            sent.providers.append(body["id"])
    except MeterdError as error:
        sent.failure = error
        return sent
    models = iter(plan.prices.values())
    failures: list[MeterdError] = []

    async def work() -> None:
        for bodies in models:
            for body in bodies:
                if failures:
                    return
                try:
                    await ask("prices.put", body)
                except MeterdError as error:
                    failures.append(error)
                    return
                sent.put += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(min(IN_FLIGHT, len(plan.prices))):
            group.create_task(work())
    sent.failure = failures[0] if failures else None
    return sent


def _decoded(reply: bytes) -> Any:
    return json.loads(reply, parse_float=Decimal, parse_int=Decimal)
