"""The commands ``prices``: the price list, rows of one's own, and a price list of others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from actors.billing.catalog.default_list import all_rows, default_list
from actors.cli import shelves
from actors.cli.catalogue import all_pages, ask, ask_each
from actors.cli.files import rows_of
from actors.cli.importer.errors import BadInput
from actors.cli.importer.pricelists import compare, report
from actors.cli.importer.pricelists.genai import read_genai_prices
from actors.cli.importer.pricelists.litellm import names_of, read_litellm
from actors.cli.importer.pricelists.providers import provider_id
from actors.cli.importer.pricelists.puts import Plan, planned
from actors.cli.importer.pricelists.rows import PriceList
from actors.cli.importer.pricelists.sending import Sent, read_known, send
from actors.cli.importer.pricelists.sources import genai_providers, text_of
from actors.cli.options import TIMEOUT_S, Json, JsonFile, Moment, Timeout, Url, instant
from actors.cli.output import is_human, show
from actors.cli.session import EXIT_DIFFERS, EXIT_ROWS_REFUSED, call, errors_as_exit_codes
from messages.client.client import UsageClient
from messages.prices import UnpricedReply
from messages.units import to_day

_PAGE = 1_000

app = typer.Typer(help="The price list of the catalogue.", invoke_without_command=True)


@app.callback()
def all_prices(context: typer.Context) -> None:
    """List the prices, unless a command follows."""
    if context.invoked_subcommand is None:
        list_prices()


@app.command("list", epilog="Example: meterd prices list --provider openai")
def list_prices(
    provider: str | None = None,
    model: str | None = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """All prices, with those that were and will be valid."""
    body = {"provider": provider, "model": model}
    reply = call(url, timeout, lambda client: all_pages(client, "prices.list", "prices", body))
    show(reply, shelves.prices, as_json=as_json)


@app.command("put", epilog="Example: meterd prices put prices.json")
def put_prices(
    file: JsonFile, url: Url = None, timeout: Timeout = TIMEOUT_S, as_json: Json = False
) -> None:
    """Put the price of a JSON file, or each of several, as `prices list --json` shows them."""
    with errors_as_exit_codes():
        bodies = rows_of(file)

    for reply in call(url, timeout, lambda client: ask_each(client, "prices.put", bodies)):
        show(reply, shelves.price_put, as_json=as_json)


@app.command("cancel", epilog="Example: meterd prices cancel openai gpt-6 2027-01-01T00:00:00Z")
def cancel_price(
    provider: Annotated[str, typer.Argument(help="The provider.", show_default=False)],
    model: Annotated[str, typer.Argument(help="The model.", show_default=False)],
    effective_from: Annotated[
        datetime, typer.Argument(parser=instant, metavar="TIME", help="From when it would hold.")
    ],
    variant: str = "",
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Take back a price that is not in force yet."""
    body = {"provider": provider, "model": model, "variant": variant}
    body_at: dict[str, object] = {**body, "effective_from": effective_from}
    reply = call(url, timeout, lambda client: ask(client, "prices.cancel", body_at))
    show(reply, shelves.price_cancelled, as_json=as_json)


@app.command("unpriced", epilog="Example: meterd prices unpriced --since 2026-03-01T00:00:00Z")
def unpriced_models(
    since: Moment = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Models in all.")] = 50,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S * 5,
    as_json: Json = False,
) -> None:
    """Models that have no price of their own, most calls first.

    `estimate`: their calls were charged the estimate. `undated`: a row was found by a part of the
    name. For each page of 1,000 the service looks at the log, within `--timeout`.
    """
    reply = call(url, timeout, lambda client: _unpriced(client, since, limit))
    show(reply, shelves.unpriced, as_json=as_json)


async def _unpriced(client: UsageClient, since: datetime | None, limit: int) -> UnpricedReply:
    page = await client.unpriced(since=since, limit=min(limit, _PAGE))
    rows = [*page.rows]
    while page.next_cursor is not None and len(rows) < limit:
        some = min(limit - len(rows), _PAGE)
        page = await client.unpriced(since=since, limit=some, cursor=page.next_cursor)
        rows += page.rows
    return msgspec.structs.replace(page, rows=tuple(rows))


@app.command("import")
def import_prices(
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="A JSON file in LiteLLM's form; else the package genai-prices."
        ),
    ] = None,
    provider: Annotated[
        list[str] | None, typer.Option("--provider", help="Only these. May be given again.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Also from this day on, where nothing was in force then."),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            "--names", help="A file in LiteLLM's form; match rules are tried on its names."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be put, and put nothing.")
    ] = False,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Put the prices that differ from those in force, and the providers that they need.

    All of the list is read and checked before anything is put. What the catalogue cannot say is
    named. A second import of the same list changes nothing; one that failed is completed.

    Exit code 3: the service refused some, which the report names; the others were put.
    """
    now = datetime.now(UTC)
    with errors_as_exit_codes():
        day = _day(since, now.date())
        found = _read(file, names, now.date(), day)
    if provider is not None:
        found = found.only({provider_id(name) or name for name in provider})

    async def put(client: UsageClient) -> tuple[Plan, Sent]:
        known, providers = await read_known(client.request_catalog)
        plan = planned(found, known, providers, now, day)
        if dry_run:
            return plan, Sent([one["id"] for one in plan.providers], plan.put)
        return plan, await send(client.request_catalog, plan)

    plan, sent = call(url, timeout, put)
    said = report.as_json(found, sent, plan.same, dry_run=dry_run)
    _say(said, report.lines(said), as_json=as_json)
    if sent.failure is not None:
        with errors_as_exit_codes():
            raise sent.failure
    if sent.refused:
        raise typer.Exit(EXIT_ROWS_REFUSED)


@app.command("check")
def check_prices(url: Url = None, timeout: Timeout = TIMEOUT_S, as_json: Json = False) -> None:
    """How old the default prices are, and what differs from the installed genai-prices.

    Exit code 0: nothing differs, or the package is not installed; 5: something does.
    """
    now = datetime.now(UTC)
    own = default_list()
    keys = [(row.provider, row.model, row.variant) for row in all_rows()]
    try:
        providers, installed = genai_providers()
    except BadInput:
        installed, differ = None, {}
    else:
        found = read_genai_prices(providers, now.date())
        known, _ = call(url, timeout, lambda client: read_known(client.request_catalog))
        differ = compare.differences(found, known, keys, now)
    default = {"source": own.source, "date": own.date}
    said = compare.as_json(differ, default, now.date(), installed)
    _say(said, compare.lines(said), as_json=as_json)
    if any(differ.values()):
        raise typer.Exit(EXIT_DIFFERS)


def _day(text: str | None, today: date) -> date | None:
    if text is None:
        return None
    try:
        day = to_day(text)
    except ValueError as error:
        raise BadInput(f"--since: {error}; a day is written as 2026-01-31") from None
    if day > today:
        raise BadInput("--since: the day is yet to come")
    return day


def _read(file: Path | None, names: Path | None, today: date, since: date | None) -> PriceList:
    if file is not None:
        return read_litellm(text_of(file))
    known = _names()
    for provider, more in ({} if names is None else names_of(text_of(names))).items():
        known[provider] += more
    return read_genai_prices(genai_providers()[0], today, since, known)


def _names() -> dict[str, list[str]]:
    """Other names in the default list: else an import would take them from its rows."""
    names: dict[str, list[str]] = defaultdict(list)
    for row in all_rows():
        names[row.provider] += row.aliases
    return names


def _say(said: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    if not is_human(as_json):
        typer.echo(msgspec.json.encode(said).decode())
        return
    console = Console(markup=False)
    for line in lines:
        console.print(line)
