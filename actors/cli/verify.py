"""The commands ``verify`` and ``rebuild``: trust in the numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console

from actors.audit.findings import Finding
from actors.audit.verify import LOOKS, Live, Verifier, VerifyReport
from actors.cli.damage import blocks
from actors.cli.evidence import signing
from actors.cli.options import TIMEOUT_S, DataDir, Json, Timeout, Url, User, Yes
from actors.cli.output import bar, is_human, make_sure
from actors.cli.session import call, complain, errors_as_exit_codes, settings
from actors.settings.config import Config
from actors.settings.nats_options import connect_options
from messages.client.client import UsageClient
from messages.errors import MeterdError, RequestError
from messages.reports import StatsReply
from messages.subjects import PARTITIONS
from messages.units import to_datetime
from persistence.chain.check import Heads
from persistence.chain.losses import Loss
from persistence.damage import in_full
from persistence.errors import JournalError
from persistence.sqlite.data_dir import is_held
from persistence.sqlite.inspecting.fault import rows_named
from persistence.sqlite.inspection import Inspection

EXIT_DIFFERS: Final = 1
EXIT_COULD_NOT: Final = 2
_AT_ONCE: Final = 64
_LUMP: Final = 1_000
"""Summaries that are in memory at once."""
_CONNECT_S: Final = 2.0


def verify(
    data_dir: DataDir = None,
    live: Annotated[
        bool, typer.Option(help="Also compare what a running service says of each user.")
    ] = True,
    chain: Annotated[
        bool, typer.Option("--chain", help="Follow the chain of the log only, replay nothing.")
    ] = False,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="A signed checkpoint that the log has to fit to."),
    ] = None,
    public_key: Annotated[
        str | None, typer.Option(help="Who has to have signed the checkpoints.")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Look at all that is stored: is it as it was written, and do its parts say the same?

    Structure, rows, chain, snapshots, archives and derived files; the log replayed, and compared
    with every snapshot, closed period and live summary. Works beside a running service and only
    reads. Exit code 0: nothing differs, 1: something does, 2: it could not be looked at.
    """
    with errors_as_exit_codes():
        config = settings(url)
    directory = data_dir or config.data_dir
    kept = _kept(checkpoints or [], public_key)
    findings: list[Finding] = []
    try:
        # Before this process opens the database: see `is_held`.
        asked = _live(directory, config) if live and not chain else None
        with (
            Inspection.open(directory, whole=False) as log,
            bar("replaying the log", log.size()[1] * LOOKS) as advance,
        ):
            verifier = Verifier(log, findings.append, advance, asked, kept=kept)
            report = verifier.follow_chain() if chain else verifier.run()
    except JournalError as error:
        complain(in_full(error))
        raise typer.Exit(EXIT_COULD_NOT) from None
    _show(report, findings, as_json=as_json)
    if findings:
        raise typer.Exit(EXIT_DIFFERS)


def rebuild(
    user: User,
    yes: Yes = False,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S * 15,
    as_json: Json = False,
) -> None:
    """Have the running service restore a user's summary from the log alone."""
    make_sure(f"Replace the state of {user} by what the log says?", yes=yes, as_json=as_json)
    reply = call(url, timeout, lambda client: client.request_upkeep("rebuild", user))
    if not is_human(as_json):
        typer.echo(reply.decode())
        return
    found = msgspec.json.decode(reply)
    changed = "it was another one" if found["changed"] else "it was the same"
    Console().print(f"{user}: restored from {found['rows']:,} rows, {changed}", markup=False)


def _kept(paths: list[Path], public_key: str | None) -> list[Heads]:
    """The links of checkpoints; one that is of no use ends the command."""
    if not paths:
        return []
    checkpoints = signing()
    try:
        return [checkpoints.read(path, public_key)[1] for path in paths]
    except checkpoints.CheckpointError as error:
        complain(str(error))
        raise typer.Exit(EXIT_COULD_NOT) from None


def _live(directory: Path, config: Config) -> Live | None:
    """How the service that runs on a directory is asked."""
    if not is_held(directory):
        return None
    return Live(
        lambda users, take: asyncio.run(_ask(config, users, take)),
        lambda: Inspection.open(directory, whole=False),
    )


async def _ask(
    config: Config, users: list[str], take: Callable[[dict[str, StatsReply]], None]
) -> bool:
    """Hand over what the running service says of each user; False if none runs any more."""
    try:
        client = await UsageClient.connect(
            config.nats_url, prefix=config.prefix, connect_s=_CONNECT_S, **connect_options(config)
        )
    except MeterdError:
        return False
    gate = asyncio.Semaphore(_AT_ONCE)
    async with client:

        async def one(user: str) -> StatsReply:
            async with gate:
                return await client.stats(user)

        for start in range(0, len(users), _LUMP):
            lump = users[start : start + _LUMP]
            found = await asyncio.gather(*map(one, lump), return_exceptions=True)
            replies = dict[str, StatsReply]()
            for user, reply in zip(lump, found, strict=True):
                if isinstance(reply, StatsReply):
                    replies[user] = reply
                elif isinstance(reply, RequestError):
                    continue  # this user cannot be asked now
                elif isinstance(reply, MeterdError):
                    return False  # it went away meanwhile
                else:
                    raise reply
            take(replies)
    return True


def _show(report: VerifyReport, findings: list[Finding], *, as_json: bool) -> None:
    if not is_human(as_json):
        whole = {
            **report._asdict(),
            "losses": [_loss_as_data(loss) for loss in report.losses],
            "differences": [finding._asdict() for finding in findings],
        }
        typer.echo(msgspec.json.encode(whole).decode())
        return
    for name, rows in report.gone.items():
        typer.echo(f"the archive {name} is not there: {rows:,} rows of it were not looked at")
    for loss in report.losses:
        typer.echo(_loss_as_text(loss))
    for block in blocks(findings):
        typer.echo(block)
    asked = (
        "no running service was asked" if report.live is None else f"{report.live:,} live summaries"
    )
    replayed = (
        f" of {report.users:,} users, {report.snapshots:,} snapshots, "
        f"{report.closed:,} closed periods, {asked}"
    )
    typer.echo(
        f"{report.rows:,} rows"
        + (replayed if report.users else "")
        + (f": {len(findings):,} differences" if findings else ": nothing differs")
    )


def _loss_as_data(loss: Loss) -> dict[str, Any]:
    """What was lost, when that was accepted, and which partitions it may be of."""
    partitions = [one for one in range(PARTITIONS) if loss.may_have_lost(one)]
    return loss._asdict() | {"at": to_datetime(loss.at), "partitions": partitions}


def _loss_as_text(loss: Loss) -> str:
    partitions = _loss_as_data(loss)["partitions"]
    whose = ", ".join(map(str, partitions)) if len(partitions) < PARTITIONS else "any"
    return (
        f"lost: {rows_named(loss.first, loss.last)}, accepted on"
        f" {to_datetime(loss.at):%Y-%m-%d at %H:%M} UTC; they may be of users in the partitions"
        f" {whose}"
    )
