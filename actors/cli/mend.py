"""The command ``mend``: a damaged log is made whole again, as far as there are whole rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from actors.billing.state import snapshot as snapshots
from actors.cli.options import DataDir, Json, Yes
from actors.cli.output import bar, is_human, make_sure
from actors.cli.session import complain, errors_as_exit_codes, settings
from actors.clock import SystemClock
from messages.stored.errors import Unreadable
from messages.units import to_datetime
from persistence.errors import JournalError
from persistence.records import Snapshot
from persistence.sqlite.mending.mend import mend as mended
from persistence.sqlite.mending.report import as_data, lines

EXIT_LOST: Final = 1
EXIT_COULD_NOT: Final = 2


def mend(
    backups: Annotated[
        list[Path] | None,
        typer.Option(
            "--backup", metavar="FILE", help="A copy of this log to take rows from; any number."
        ),
    ] = None,
    data_dir: DataDir = None,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Go on without rows that are nowhere.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make what is damaged of a log anew, from itself and from backups. The service is stopped.

    The damaged files are kept in a directory beside it. Exit code 0: all is in order again; 1: rows
    are missing, and nothing was changed; 2: it could not be mended.
    """
    with errors_as_exit_codes():
        directory = data_dir or settings(None).data_dir
    if not dry_run:
        make_sure(f"Mend the log of {directory}?", yes=yes, as_json=as_json)
    now = to_datetime(SystemClock().now())
    try:
        with bar("joining rows") as advance:
            report = mended(
                directory,
                backups or [],
                is_whole,
                now,
                accept_loss=accept_loss,
                dry_run=dry_run,
                progress=advance,
            )
    except JournalError as error:
        complain(str(error))
        raise typer.Exit(EXIT_COULD_NOT) from None
    if is_human(as_json):
        for line in lines(report):
            typer.echo(line)
    else:
        typer.echo(msgspec.json.encode(as_data(report)).decode())
    if report.outcome == "lost":
        raise typer.Exit(EXIT_LOST)


def is_whole(stored: Snapshot) -> bool:
    """Whether a snapshot is as it was written; one of another version is looked at by nobody."""
    if stored.schema != snapshots.SCHEMA:
        return True
    try:
        snapshots.decode_at(stored.user, stored.seq, stored.body)
    except Unreadable:
        return False
    return True
