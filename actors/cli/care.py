"""The commands ``backup``, ``restore``, ``snapshot`` and ``archive``: care of the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from actors.cli.options import TIMEOUT_S, DataDir, Json, Timeout, Url, Yes, day
from actors.cli.output import bar, is_human, make_sure
from actors.cli.session import EXIT_FAILED, call, complain, errors_as_exit_codes, settings
from messages.client.client import UsageClient
from persistence.errors import JournalError
from persistence.sqlite import backup as backups
from persistence.sqlite.backup import Copied

_Copy = Callable[[Path, Path, backups.Progress], Copied]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The copy.", show_default=False)]


def backup(file: File, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Copy the log to a new file, as of one moment, beside a running service or without one."""
    with errors_as_exit_codes():
        directory = data_dir or settings(None).data_dir
    _copy("copying", backups.back_up, directory, file, as_json=as_json)


def restore(file: File, data_dir: DataDir = None, yes: Yes = False, as_json: Json = False) -> None:
    """Make a copy the log of a data directory that has none."""
    with errors_as_exit_codes():
        directory = data_dir or settings(None).data_dir
    make_sure(f"Make {file} the log of {directory}?", yes=yes, as_json=as_json)
    _copy("restoring", backups.restore, file, directory, as_json=as_json)


def snapshot(url: Url = None, timeout: Timeout = TIMEOUT_S * 15, as_json: Json = False) -> None:
    """Have the running service write the state of all users who are in memory.

    It does so by itself now and then, and when it is stopped; after this a start without a
    stop, or one on a backup, has few events to replay. A user with a handful of events since
    the newest snapshot is left out: to replay these takes no longer than to read another one.
    """
    reply = call(url, timeout, lambda client: client.request_upkeep("snapshot", "live"))
    if not is_human(as_json):
        typer.echo(reply.decode())
        return
    found = msgspec.json.decode(reply)
    typer.echo(f"{found['users']:,} users as of position {found['seq']:,}")


def archive(
    before: Annotated[
        str,
        typer.Option(parser=day, metavar="DATE", help="The day, at least 62 days ago, in UTC."),
    ],
    yes: Yes = False,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S * 30,
    as_json: Json = False,
) -> None:
    """Have the running service move calls of before a day from the database into files.

    `logs` and everything else shows them as before, while the files are in `archive` of the data
    directory; totals, alerts, subscriptions and keys stay where they are. It works beside all
    else, in steps, with `--timeout` for each. Wherever it ended it goes on when it is called again.
    """
    make_sure(f"Move all calls before {before} into files?", yes=yes, as_json=as_json)

    async def steps(client: UsageClient) -> dict[str, int]:
        rows = files = last = 0
        with bar("archiving") as advance:
            while True:
                step = msgspec.json.decode(await client.request_upkeep("archive", before))
                if step["done"]:
                    return {"rows": rows, "files": files, "last": last}
                rows, files, last = rows + step["rows"], files + bool(step["rows"]), step["last"]
                advance(rows)

    moved = call(url, timeout, steps)
    if is_human(as_json):
        typer.echo(f"{moved['rows']:,} calls and holds are in {moved['files']:,} new files")
    else:
        typer.echo(msgspec.json.encode(moved).decode())


def _copy(what: str, copy: _Copy, source: Path, target: Path, *, as_json: bool) -> None:
    try:
        with bar(what) as advance:
            copied = copy(source, target, lambda pages, _: advance(pages))
    except JournalError as error:
        complain(str(error))
        raise typer.Exit(EXIT_FAILED) from None
    if is_human(as_json):
        typer.echo(f"{copied.rows:,} rows up to position {copied.seq:,}, {copied.bytes:,} bytes")
    else:
        typer.echo(msgspec.json.encode(copied._asdict()).decode())
