"""The commands that run the service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from actors.cli.options import Url
from actors.cli.session import errors_as_exit_codes
from actors.config import load

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Holds the database; else METERD_DATA_DIR.", show_default=False
    ),
]


def up(
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65_535,
            help="Of the nats-server on loopback, 0: a free one; else METERD_NATS_PORT.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Run the service with a nats-server of its own."""
    _run(embedded=True, nats_port=port, data_dir=data_dir)


def serve(url: Url = None, data_dir: DataDir = None) -> None:
    """Run the service against a NATS server."""
    _run(embedded=False, nats_url=url, data_dir=data_dir)


def _run(*, embedded: bool, **changed: Any) -> None:
    # Imported here: a client command starts without the service's modules.
    from actors.process import run  # noqa: PLC0415 -- as above

    with errors_as_exit_codes():
        given = {name: value for name, value in changed.items() if value is not None}
        raise typer.Exit(run(replace(load(), **given), embedded=embedded))
