"""A look at a NATS server and at the meterds on it, by those who only ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
import nats.errors
from nats.aio.client import Client

from actors.settings.config import Config
from actors.settings.nats_options import connect_options
from messages.errors import NoService
from messages.redacting import check_servers, secrets_in, shown, without

CONNECT_S: Final = 3.0
FIRST_S: Final = 5.0
"""How long a look waits for the first answer, and then for each other one. That nobody would answer
is known at once; who is there and busy may take a while."""
NEXT_S: Final = 0.5
FLUSH_S: Final = 10


@asynccontextmanager
async def looking(config: Config) -> AsyncIterator[tuple[Client, list[str]]]:
    """A connection, and what the server says against it as it goes on.

    Raises:
        NoService: there is no connection; the reason is the server's own if it gave one.
        ConfigError: a setting is wrong.
    """
    complaints: list[str] = []
    secrets = secrets_in(config.nats_url, config.nats_password)

    async def on_error(error: Exception) -> None:
        complaints.append(without(secrets, str(error)))

    options = {**connect_options(config), "allow_reconnect": False, "error_cb": on_error}
    client = Client()
    try:
        async with asyncio.timeout(CONNECT_S):
            await client.connect(check_servers(config.nats_url), name="meterd-look", **options)
    except (TimeoutError, OSError, ValueError, nats.errors.Error) as error:
        why = complaints[0] if complaints else without(secrets, str(error)) or "no answer"
        raise NoService(f"cannot connect to {shown(config.nats_url)}: {why}") from None
    try:
        yield client, complaints
    finally:
        with suppress(OSError):
            await client.close()


async def answers(client: Client, subject: str, payload: bytes = b"") -> list[dict[str, Any]]:
    """What everybody says who answers on a subject, as far as it is an object of JSON."""
    subscription = await client.subscribe(client.new_inbox())
    await client.publish(subject, payload, reply=subscription.subject)
    found: list[dict[str, Any]] = []
    wait_s = FIRST_S
    with suppress(nats.errors.TimeoutError):
        while True:
            message = await subscription.next_msg(timeout=wait_s)
            if (message.headers or {}).get("Status") == "503":
                break
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                body = msgspec.json.decode(message.data)
                found += [body] if isinstance(body, dict) else []
            wait_s = NEXT_S
    await subscription.unsubscribe()
    return found


async def settle(client: Client, within_s: int = FLUSH_S) -> None:
    """Wait until the server has taken all that was sent, and what it delivers of that is here.

    nats-py writes a PING past what it still holds, so only the second one comes behind it.
    Raises what nats-py raises.
    """
    for _ in range(2):
        await client.flush(within_s)


def of_prefix(answer: dict[str, Any], prefix: str) -> bool:
    """Whether the answer of a discovery is from a meterd of this prefix."""
    metadata = answer.get("metadata")
    return isinstance(metadata, dict) and metadata.get("prefix") == prefix


def server_version(client: Client) -> str:
    """The version of the server, as it says itself."""
    version = client.connected_server_version
    return f"{version.major}.{version.minor}.{version.patch}"
