"""The commands ``checkpoint`` and ``forget``: what the log proves, and what it gives up."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from secrets import token_bytes
from types import ModuleType
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from actors.cli.options import TIMEOUT_S, DataDir, Json, Timeout, Url, User, Yes
from actors.cli.output import is_human, make_sure
from actors.cli.session import (
    EXIT_FAILED,
    EXIT_USAGE,
    call,
    complain,
    errors_as_exit_codes,
    settings,
)
from actors.clock import SystemClock
from persistence.errors import JournalError
from persistence.sqlite.inspection import Inspection

_NEEDS: Final = "signed checkpoints need the packages nkeys and pynacl: pip install 'meterd[audit]'"


def signing() -> ModuleType:
    """The module of signed checkpoints, whose packages are an extra."""
    try:
        return import_module("actors.audit.checkpoints")
    except ImportError:
        complain(_NEEDS)
        raise typer.Exit(EXIT_USAGE) from None


def checkpoint(
    key: Annotated[
        Path, typer.Option(help="The file with the nkey seed that signs.", show_default=False)
    ],
    data_dir: DataDir = None,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make the key file, and print its public key.")
    ] = False,
) -> None:
    """Print a signed checkpoint of the log, for somebody else to keep.

    Works beside a running service and only reads. `meterd verify --checkpoint FILE` compares
    the log with it later.
    """
    checkpoints = signing()
    with errors_as_exit_codes():
        directory = data_dir or settings(None).data_dir
    try:
        if new_key:
            seed = checkpoints.new_seed(token_bytes)
            checkpoints.write_seed(key, seed)
            typer.echo(checkpoints.public_key_of(seed))
            return
        seed = checkpoints.read_seed(key)
        with Inspection.open(directory) as log:
            found = checkpoints.signed(log.newest_heads(), SystemClock().now(), seed)
    except (JournalError, checkpoints.CheckpointError) as error:
        complain(str(error))
        raise typer.Exit(EXIT_FAILED) from None
    typer.echo(msgspec.json.encode(found).decode())


def forget(
    user: User,
    yes: Yes = False,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S * 30,
    as_json: Json = False,
) -> None:
    """Have the running service erase what a user's calls said of persons.

    User agents, IP addresses, error messages and metadata are gone for ever, from the log and
    from its files. Counters, costs, idempotency keys and the chain stay as they are.
    """
    make_sure(f"Erase all personal fields of {user} for ever?", yes=yes, as_json=as_json)
    reply = call(url, timeout, lambda client: client.request_upkeep("forget", user))
    if not is_human(as_json):
        typer.echo(reply.decode())
        return
    rows = msgspec.json.decode(reply)["rows"]
    Console().print(f"{user}: personal fields of {rows:,} calls are erased", markup=False)
