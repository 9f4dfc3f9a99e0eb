"""Sends the puts of a plan with many in flight, those of one model one after the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from actors.cli.importer.pricelists.puts import Body, Known, Plan, known_of
from messages.errors import MeterdError, RequestError

IN_FLIGHT: Final = 64
_FOR_GOOD: Final = frozenset({"invalid_request", "unknown_provider", "unknown_unit"})
"""Codes that say that a body is wrong, which a repeat would not change."""
Ask = Callable[[str, Body], Awaitable[bytes]]
"""Asks something of the catalogue, such as ``prices.put``; retries by itself."""


@dataclass
class Sent:
    """What came of a plan.

    Attributes:
        providers: ids of the providers that were put.
        put: how many prices were put.
        refused: provider, model and why, of what the service will never take; the rest goes on.
        failure: why the rest was not put; a repeat puts it.
    """

    providers: list[str]
    put: int = 0
    refused: list[tuple[str, str, str]] = field(default_factory=list)
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

    What the service refuses for what it says is kept, and the others go on, but for the further
    variants of that model at that moment. After any other error nothing more is begun; what is on
    its way is waited for.
    """
    sent = Sent([])
    for body in plan.providers:
        if await _put(ask, sent, "providers.put", body):
            sent.providers.append(body["id"])
    models = iter(plan.prices.values())

    async def work() -> None:
        for bodies in models:
            refused: set[object] = set()
            for body in bodies:
                moment = body.get("effective_from")
                if moment in refused:
                    continue  # a variant at a new price, while the model keeps its old one
                if await _put(ask, sent, "prices.put", body):
                    sent.put += 1
                else:
                    refused.add(moment)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(IN_FLIGHT, len(plan.prices))):
            group.create_task(work())
    return sent


async def _put(ask: Ask, sent: Sent, what: str, body: Body) -> bool:
    """Whether it was put; it is not even tried once something has failed."""
    if sent.failure is not None:
        return False
    try:
        await ask(what, body)
    except MeterdError as error:
        if isinstance(error, RequestError) and error.code in _FOR_GOOD:
            name = body.get("provider") or body["id"]
            sent.refused.append((name, body.get("model", ""), str(error)))
        else:
            sent.failure = error
        return False
    return True


def _decoded(reply: bytes) -> Any:
    return json.loads(reply, parse_float=Decimal, parse_int=Decimal)
