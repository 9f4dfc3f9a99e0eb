"""The command ``doctor``: what is wrong, and what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from actors.cli.examining import WIRE, Finding, examine_directory
from actors.cli.looking import looking
from actors.cli.options import DataDir, Json, Url
from actors.cli.output import show
from actors.cli.session import EXIT_FAILED, errors_as_exit_codes, settings
from actors.cli.views import cell, lines
from actors.settings.config import Config
from messages.errors import NoService

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor(data_dir: DataDir = None, url: Url = None, as_json: Json = False) -> None:
    """Look at server, mapping, permissions, streams, clock, disk, files and WAL.

    It changes nothing. Exit code 0: nothing is to be done; 1: something is; 2: wrong settings.
    """
    with errors_as_exit_codes():
        config = settings(url)
        found = [*asyncio.run(_wire(config)), *_files(config, data_dir)]
    worst = any(finding.level != "ok" for finding in found)
    reply: dict[str, Any] = {
        "healthy": not worst,
        "findings": [finding._asdict() for finding in found],
    }
    show(reply, lambda _: _view(found), as_json=as_json)
    if worst:
        raise typer.Exit(EXIT_FAILED)


async def _wire(config: Config) -> list[Finding]:
    try:
        async with looking(config) as (client, complaints):
            return [
                finding
                for examine in WIRE
                for finding in await examine(client, config.prefix, complaints)
            ]
    except NoService as error:
        do = "start the server, or set METERD_NATS_URL and the credentials that it asks for"
        return [Finding("server", "problem", str(error), do)]


def _files(config: Config, data_dir: Path | None) -> list[Finding]:
    return examine_directory(data_dir or config.data_dir)


def _view(found: Sequence[Finding]) -> RenderableType:
    parts: list[RenderableType] = []
    for finding in found:
        head = Text.assemble((finding.level, _COLOURS[finding.level]), f"  {finding.about}: ")
        parts.append(head.append_text(cell(finding.what)))
        if finding.do:
            parts.append(Padding(cell(finding.do), (0, 0, 0, 2)))
    return lines(*parts)
