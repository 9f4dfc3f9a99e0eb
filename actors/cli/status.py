"""The command ``status``: which meterd serves a prefix, and how it is."""

from __future__ import annotations

import asyncio
from typing import Any

import typer
from rich.console import RenderableType
from rich.text import Text

from actors.cli.looking import answers, looking, of_prefix, server_version
from actors.cli.options import Json, Url
from actors.cli.output import show
from actors.cli.session import EXIT_FAILED, complain, errors_as_exit_codes, settings
from actors.cli.views import cell, counted, grid, lines
from actors.settings.config import Config
from messages import __version__
from messages.redacting import shown


def status(url: Url = None, as_json: Json = False) -> None:
    """The server, the prefix and the meterd that serves it. Exit code 1 if none does."""
    with errors_as_exit_codes():
        found = asyncio.run(_look(settings(url)))
    show(found, _view, as_json=as_json)
    if not found["services"]:
        complain(f"no meterd serves {found['prefix']}: start one by meterd serve or meterd up")
        raise typer.Exit(EXIT_FAILED)


async def _look(config: Config) -> dict[str, Any]:
    async with looking(config) as (client, _):
        heard = await answers(client, "$SRV.STATS.meterd")
        return {
            "server": {
                "url": shown(config.nats_url),
                "version": server_version(client),
                "max_payload": client.max_payload,
            },
            "prefix": config.prefix,
            "version": __version__,
            "services": [_service(each) for each in heard if of_prefix(each, config.prefix)],
        }


def _service(answer: dict[str, Any]) -> dict[str, Any]:
    endpoints = answer.get("endpoints") or [{}]
    figures = endpoints[0].get("data") or {}
    return {
        "id": answer.get("id"),
        "version": answer.get("version"),
        "started": answer.get("started"),
        "position": figures.get("durable_seq"),
        "live_users": figures.get("live_users"),
        "waiting": figures.get("waiting"),
        "accepting": figures.get("accepting"),
        "overloaded": figures.get("overloaded"),
        "requests": sum(each.get("num_requests", 0) for each in endpoints),
        "errors": sum(each.get("num_errors", 0) for each in endpoints),
    }


def _view(found: dict[str, Any]) -> RenderableType:
    server = found["server"]
    head = f"nats-server {server['version']} at {server['url']}, prefix {found['prefix']}"
    parts: list[RenderableType] = [cell(head), Text(f"this command {found['version']}")]
    for service in found["services"]:
        shown_as = grid("meterd", str(service["id"]))
        for name, value in service.items():
            if name != "id":
                text = f"{value:,}" if type(value) is int else value
                shown_as.add_row(name.replace("_", " "), cell(_said(text)))
        parts.append(shown_as)
    parts.append(Text(counted(len(found["services"]), "service")))
    return lines(*parts)


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
