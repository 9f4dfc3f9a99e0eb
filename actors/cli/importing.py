"""The command ``import``: a file of usage through the running service."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from actors.cli.importer.errors import ServiceLost
from actors.cli.importer.mapping import FieldMap
from actors.cli.importer.plan import ImportPlan, PlannedCall, Timestamps
from actors.cli.importer.rows import format_of
from actors.cli.importer.sender import Sender
from actors.cli.importer.usual import as_options
from actors.cli.options import Json, Url
from actors.cli.report import REFUSED_LINES, ImportReport
from actors.cli.session import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_ROWS_REFUSED,
    complain,
    errors_as_exit_codes,
    settings,
)
from actors.settings.config import Config
from actors.settings.nats_options import connect_options
from messages.client.client import UsageClient
from messages.errors import NoService
from messages.usage import TrackReply

ATTEMPT_S: Final = 2.0
QUIET_S: Final = 5.0


class Format(StrEnum):
    """Formats of files."""

    CSV = "csv"
    JSONL = "jsonl"


UsualNames = Annotated[
    bool,
    typer.Option("--usual-names", help="Take columns such as prompt_tokens for what they are."),
]
AllowEmpty = Annotated[
    bool, typer.Option("--allow-empty", help="Although no row has tokens, units or a cost.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")
]


def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="CSV with a header, or JSON Lines.", show_default=False
        ),
    ],
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="FIELD=COLUMN", help="Which column fills a field. May be given again."
        ),
    ] = None,
    constants: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="The same value for all rows."),
    ] = None,
    timestamps: Annotated[
        Timestamps,
        typer.Option(help="keep them; shift all so that the last is now; or drop them: now."),
    ] = Timestamps.KEEP,
    kind: Annotated[
        Format | None, typer.Option("--format", help="Else by the file's name.")
    ] = None,
    in_flight: Annotated[
        int, typer.Option(min=1, max=4096, help="Rows that wait for their answers at a time.")
    ] = 128,
    patience: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for a service that is away.")
    ] = 300.0,
    usual_names: UsualNames = False,
    allow_empty: AllowEmpty = False,
    refused_lines: Annotated[
        int, typer.Option(min=0, help="Lines about refused rows; the others are counted.")
    ] = REFUSED_LINES,
    dry_run: DryRun = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Count the usage of a file; a rerun counts nothing twice.

    A column named like a field of track, or user, fills that field; an empty cell is an absent
    field. Columns with names that are usual elsewhere are proposed. Every row has an event_id:
    its own, or one made of the row, its line and the header.

    Exit codes: 0 every row is counted or already was; 1 the service is lost, a rerun goes on;
    2 wrong usage; 3 rows were refused.
    """
    now = datetime.now(UTC)
    report = ImportReport(refused_lines, now)
    with errors_as_exit_codes():
        config = settings(url)
        connect_options(config)
        fields = FieldMap(mapped or (), constants or (), report.ignored, usual=usual_names)
        name = format_of(file) if kind is None else kind.value
        plan = ImportPlan(file, name, fields, timestamps, now)
        if fields.proposed and not usual_names:
            report.note(f"usual names, not taken: {as_options(fields.proposed)} (or --usual-names)")
        if not allow_empty:
            plan.check_not_empty()
    if dry_run:
        _rehearse(plan, report, fields, file, as_json=as_json)
        return
    with ExitStack() as stack:
        stack.callback(report.finish, file, as_json=as_json)
        with errors_as_exit_codes(), report.progress(file.name, plan.size):
            _run(config, plan, report, in_flight, patience)
    if report.tally.total().refused:
        raise typer.Exit(EXIT_ROWS_REFUSED)


def _rehearse(
    plan: ImportPlan, report: ImportReport, fields: FieldMap, file: Path, *, as_json: bool
) -> None:
    """Count what would be sent, as far as it can be known here."""
    users = set[str]()
    with errors_as_exit_codes():
        for usage in plan.usages(report.refused):
            report.would_send(usage)
            users.add(usage.user)
    report.tell_refused()
    report.rehearsed(file, fields, len(users), as_json=as_json)
    if report.tally.total().refused:
        raise typer.Exit(EXIT_ROWS_REFUSED)


def _run(
    config: Config, plan: ImportPlan, report: ImportReport, in_flight: int, patience: float
) -> None:
    try:
        asyncio.run(_send(config, plan, report, in_flight, patience))
    except (ServiceLost, NoService) as error:
        code, why = EXIT_FAILED, str(error)
    except KeyboardInterrupt:
        code, why = EXIT_INTERRUPTED, "interrupted"
    else:
        return
    report.lost = True
    complain(f"{why}; {report.tally.settled} rows are settled, a rerun goes on from there")
    raise typer.Exit(code)


async def _send(
    config: Config, plan: ImportPlan, report: ImportReport, in_flight: int, patience: float
) -> None:
    async with await _connect(config, report, patience) as client:

        async def track(usage: PlannedCall) -> TrackReply:
            envelope = usage.row.envelope
            if envelope is None:
                return await client.track(usage.user, **usage.body)
            return await client.track_cloud_event(usage.user, envelope, **usage.body)

        sender = Sender(track, report.settled, report.refused_by_service, in_flight)
        watching = asyncio.create_task(_watch(report, patience))
        try:
            await sender.run(plan.usages(report.refused, report.read))
        finally:
            watching.cancel()


async def _watch(report: ImportReport, patience: float) -> None:
    """Say it once when the answers stop."""
    told, before = -1, -1
    while True:
        await asyncio.sleep(QUIET_S)
        settled = report.tally.settled
        if settled == before and settled != told:
            told = settled
            report.note(f"no answers for {QUIET_S:g} s; waiting for up to {patience:g} s")
        before = settled


async def _connect(config: Config, report: ImportReport, patience: float) -> UsageClient:
    connect = partial(
        UsageClient.connect,
        config.nats_url,
        prefix=config.prefix,
        budget_s=patience,
        attempt_s=ATTEMPT_S,
        **connect_options(config),
    )
    at_once = min(patience, ATTEMPT_S)
    try:
        return await connect(connect_s=at_once)
    except NoService as error:
        if patience <= at_once:
            raise
        report.note(f"{error}; waiting for up to {patience:g} s")
    return await connect(connect_s=patience - at_once)
