"""The commands ``export usage`` and ``export invoice``: what was used, as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from actors.cli.catalogue import all_pages, user_pages
from actors.cli.exporter.invoice import COLUMNS, Invoice
from actors.cli.exporter.writing import Write, writing
from actors.cli.importer.errors import BadInput
from actors.cli.options import (
    TIMEOUT_S,
    KeyId,
    Moment,
    Outcome,
    Period,
    Tags,
    Timeout,
    Url,
    pairs_of,
)
from actors.cli.session import call, errors_as_exit_codes
from actors.cli.views import amount, counted
from messages.client.client import UsageClient
from messages.errors import MeterdError
from messages.prices import (
    PriceEntry,
)
from messages.reports import LogEntry, StatsReply
from messages.units import usd

_PAGE: Final = 1_000
_USAGE: Final = ("user", *LogEntry.__struct_fields__)

app = typer.Typer(help="Usage and invoices as CSV or JSON Lines.", no_args_is_help=True)


class BadLog(MeterdError):
    """The log of a period does not come to what its counters say."""


class Format(StrEnum):
    """Formats of files."""

    CSV = "csv"
    JSONL = "jsonl"


Who = Annotated[str | None, typer.Argument(metavar="USER", help="The user id.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All users, in the order of their ids.")]
Kind = Annotated[Format, typer.Option("--format", help="Of the rows.")]
Output = Annotated[
    Path | None, typer.Option("--output", help="A file; else stdout.", show_default=False)
]


@app.command("usage", epilog="Example: meterd export usage alice --period 2026-03")
def usage(
    user: Who = None,
    everybody: All = False,
    period: Period = None,
    provider: str | None = None,
    model: str | None = None,
    key: KeyId = None,
    outcome: Outcome = None,
    tags: Tags = None,
    since: Moment = None,
    until: Moment = None,
    kind: Kind = Format.CSV,
    output: Output = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S * 5,
) -> None:
    """Every call as it was logged, newest arrival of each user first.

    It reads page by page, with `--timeout` for each.
    """
    filters = {
        "billing_period": period,
        "provider": provider,
        "model_used": model,
        "key": key,
        "outcome": outcome,
        "tags": pairs_of(tags, "--tag") if tags else None,
        "since": since,
        "until": until,
    }

    async def export(client: UsageClient) -> None:
        with writing(kind.value, _USAGE, output) as write:
            async for name in _users(client, user, everybody, None):
                async for entry in _entries(client, name, filters):
                    write({"user": name, **msgspec.structs.asdict(entry)})

    _check(user, everybody)
    call(url, timeout, export)


@app.command("invoice", epilog="Example: meterd export invoice alice --period 2026-03")
def invoice(
    user: Who = None,
    everybody: All = False,
    period: Period = None,
    before_reset: Annotated[
        bool, typer.Option("--before-reset", help="Also what was counted before a reset.")
    ] = False,
    kind: Kind = Format.CSV,
    output: Output = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S * 5,
) -> None:
    """A period's lines: quantity, unit price and amount per provider, model and unit.

    The amounts come to `total_cost` of `stats` exactly. Without `--period` it is the current
    period of each user, as far as it goes.
    """

    async def export(client: UsageClient) -> None:
        with writing(kind.value, COLUMNS, output) as write:
            async for name in _users(client, user, everybody, period):
                await _invoice(client, name, period, write, whole=before_reset)

    _check(user, everybody)
    call(url, timeout, export)


def _check(user: str | None, everybody: bool) -> None:
    with errors_as_exit_codes():
        if (user is None) == (not everybody):
            raise BadInput("give either a USER or --all")


async def _users(
    client: UsageClient, user: str | None, everybody: bool, period: str | None
) -> AsyncIterator[str]:
    """The one user, or all; with ``period`` those who have it."""
    if not everybody:
        assert user is not None
        yield user
        return
    async for page in user_pages(client, {"billing_period": period}):
        for entry in page.users:
            yield entry.user_id


async def _entries(
    client: UsageClient, user: str, filters: dict[str, Any]
) -> AsyncIterator[LogEntry]:
    """The log, newest arrival first, a page at a time."""
    cursor = None
    while True:
        page = await client.logs(user, limit=_PAGE, cursor=cursor, **filters)
        for entry in page.logs:
            yield entry
        cursor = page.next_cursor
        if cursor is None:
            return


async def _invoice(
    client: UsageClient, user: str, period: str | None, write: Write, *, whole: bool
) -> None:
    """Write the lines of one user.

    `stats` counts what arrived since the newest reset of the period, so of its log as many calls
    as `stats` has, the newest ones; those that came after `stats` was asked are left out.
    """
    stats = await client.stats(user, billing_period=period)

    async def find(provider: str, model: str) -> tuple[PriceEntry, ...]:
        body = {"provider": provider, "model": model}
        reply = await all_pages(client, "prices.list", "prices", body)
        found: tuple[PriceEntry, ...] = reply.prices
        return found

    made, left = Invoice(user, stats.billing_period, find), 0
    async for entry in _entries(client, user, {"billing_period": stats.billing_period}):
        if entry.seq > stats.seq:
            continue
        if made.calls == stats.total_calls and not whole:
            left += 1
        else:
            await made.add(entry)
    if not whole:
        _hold_against(stats, made, user)
    for line in made.lines():
        write(line)
    total = f"{counted(made.calls, 'call')}, {amount(usd(made.nano))} USD"
    note = f"; {counted(left, 'call')} before a reset left out (--before-reset)" if left else ""
    typer.echo(f"{user} {stats.billing_period}: {total}{note}", err=True)


def _hold_against(stats: StatsReply, made: Invoice, user: str) -> None:
    """Refuse an invoice that is not what `stats` says.

    Raises:
        BadLog: the log has other calls than the counters.
    """
    if (made.calls, usd(made.nano)) != (stats.total_calls, stats.total_cost):
        said = f"{stats.total_calls:,} calls and {amount(stats.total_cost)} USD"
        found = f"{made.calls:,} and {amount(usd(made.nano))}"
        raise BadLog(f"{user}: stats has {said}, the log {found}; meterd verify says more")
