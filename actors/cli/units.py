"""The commands ``units``: what calls can have amounts of, and units of one's own."""

from __future__ import annotations

from typing import Annotated

import typer

from actors.cli import shelves
from actors.cli.catalogue import ask
from actors.cli.options import TIMEOUT_S, EventId, Json, Timeout, Url
from actors.cli.output import show
from actors.cli.session import call
from messages.quantities import PARTS_MAX, SCALE_MAX

UnitId = Annotated[str, typer.Argument(metavar="UNIT", help="The unit's id.", show_default=False)]

app = typer.Typer(help="The units of calls, beside tokens and cost.", invoke_without_command=True)


@app.callback()
def all_units(context: typer.Context) -> None:
    """List the units, unless a command follows."""
    if context.invoked_subcommand is None:
        list_units()


@app.command("list")
def list_units(url: Url = None, timeout: Timeout = TIMEOUT_S, as_json: Json = False) -> None:
    """All units, with those that are archived."""
    reply = call(url, timeout, lambda client: ask(client, "units.list", {}))
    show(reply, shelves.units, as_json=as_json)


@app.command("put", epilog="Example: meterd units put gpu_seconds --scale 3")
def put_unit(
    unit: UnitId,
    name: Annotated[str | None, typer.Option(help="For people; else the id.")] = None,
    scale: Annotated[
        int | None,
        typer.Option(min=0, max=SCALE_MAX, help="Decimals of an amount: they never change."),
    ] = None,
    max_per_call: Annotated[
        int | None,
        typer.Option(min=1, max=PARTS_MAX, help="In smallest parts; else 10^12."),
    ] = None,
    event_id: EventId = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Put a unit of your own, or give one another name or bound; an archived one is back."""
    body = {
        "id": unit,
        "name": name,
        "scale": scale,
        "max_per_call": max_per_call,
        "event_id": event_id,
    }
    reply = call(url, timeout, lambda client: ask(client, "units.put", body))
    show(reply, shelves.unit_put, as_json=as_json)


@app.command("archive", epilog="Example: meterd units archive gpu_seconds")
def archive_unit(
    unit: UnitId,
    event_id: EventId = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Let no call use a unit any more. What was counted stays."""
    body = {"id": unit, "event_id": event_id}
    reply = call(url, timeout, lambda client: ask(client, "units.archive", body))
    show(reply, shelves.unit_put, as_json=as_json)
