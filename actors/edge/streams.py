"""Streams of JetStream that capture requests: callers get the stream's answer before meterd's."""

from __future__ import annotations

import json
from typing import Any, Final

import nats.errors
import structlog

NAMES: Final = "$JS.API.STREAM.NAMES"
ASK_S: Final = 2.0

_log = structlog.get_logger(__name__)


async def tell_of_capturing(client: Any, prefix: str) -> None:
    """Warn of each stream that captures requests below a prefix; see `capturing`."""
    for name in await capturing(client, prefix):
        _log.warning(
            "requests_captured",
            stream=name,
            subjects=f"{prefix}.>",
            effect="callers get the stream's answer in place of meterd's",
            cure="take the subjects of requests out of the stream",
        )


async def capturing(client: Any, prefix: str) -> list[str]:
    """The names of streams that capture requests below a prefix, of the first page of them.

    Empty as well if there is no JetStream, or the server does not let us ask.

    Args:
        client: a connected client of nats-py.
        prefix: what the subjects of the requests start with.
    """
    # Every service has this verb; the streams of alerts and events do not match it.
    wanted = json.dumps({"subject": f"{prefix}.track.*"}).encode()
    try:
        message = await client.request(NAMES, wanted, timeout=ASK_S)
        found = json.loads(message.data).get("streams") or []
    except (nats.errors.Error, OSError, ValueError, AttributeError):
        return []
    return [name for name in found if isinstance(name, str)]
