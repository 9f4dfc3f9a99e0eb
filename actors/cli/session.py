"""One command's way to the service and back to the shell: settings, connection, exit codes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, TypeVar

import typer

from actors.cli.importer.errors import BadInput
from actors.settings.config import Config, ConfigError, load
from actors.settings.nats_options import connect_options
from messages.client.client import UsageClient
from messages.errors import MeterdError, NoAnswer, RequestError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_ROWS_REFUSED: Final = 3
EXIT_NOT_ALLOWED: Final = 4
EXIT_DIFFERS: Final = 5
EXIT_INTERRUPTED: Final = 130

_T = TypeVar("_T")


def call(url: str | None, timeout_s: float, action: Callable[[UsageClient], Awaitable[_T]]) -> _T:
    """Connect, run ``action`` and return what it returns; its errors end the command."""

    async def run() -> _T:
        config = settings(url)
        options = connect_options(config)
        async with await UsageClient.connect(
            config.nats_url, prefix=config.prefix, budget_s=timeout_s, **options
        ) as client:
            return await action(client)

    with errors_as_exit_codes():
        return asyncio.run(run())


def settings(url: str | None) -> Config:
    """The settings, with the server that an option names.

    Raises:
        ConfigError: a setting is wrong.
    """
    config = load()
    return config if url is None else replace(config, nats_url=url)


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """End the command with one line on stderr: 1 the service says no, 2 usage or settings."""
    try:
        yield
    except (ConfigError, BadInput) as error:
        complain(str(error))
        raise typer.Exit(EXIT_USAGE) from None
    except MeterdError as error:
        complain(_sentence(error))
        raise typer.Exit(EXIT_FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def complain(text: str) -> None:
    """Write one line to stderr."""
    typer.echo(f"meterd: {text}", err=True)


def _sentence(error: MeterdError) -> str:
    text = str(error)
    if isinstance(error, RequestError):
        text += f" (field {error.field})" if error.field else ""
        text += f" (error id {error.error_id})" if error.error_id else ""
    unknown = isinstance(error, NoAnswer) or (
        isinstance(error, RequestError) and error.code == "outcome_unknown"
    )
    if unknown and (key := getattr(error, "event_id", None)):
        text += f"; it may have happened: repeat it with --event-id {key}"
    return text
