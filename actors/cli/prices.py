"""The commands ``prices``: the price list, rows of one's own, and a price list of others."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from actors.cli import shelves
from actors.cli.catalogue import all_pages, ask
from actors.cli.files import rows_of
from actors.cli.importer.errors import BadInput
from actors.cli.importer.pricelists import ListedPrice, PriceList, read_genai_prices, read_litellm
from actors.cli.options import TIMEOUT_S, Json, JsonFile, Moment, Timeout, Url
from actors.cli.output import is_human, show
from actors.cli.session import call, errors_as_exit_codes
from messages.catalog import PriceEntry, PricePutReply, PricesReply, UnpricedReply
from messages.client.client import UsageClient

_SHOWN = 20
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

    async def put(client: UsageClient) -> list[PricePutReply]:
        return [await ask(client, "prices.put", body) for body in bodies]

    for reply in call(url, timeout, put):
        show(reply, shelves.price_put, as_json=as_json)


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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be put, and put nothing.")
    ] = False,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Put the prices that differ from those in force; say which fields cannot be taken."""
    with errors_as_exit_codes():
        found = _read(file)
    rows = [row for row in found.rows if provider is None or row.provider in provider]
    put, same = call(url, timeout, lambda client: _put_all(client, rows, dry_run=dry_run))
    report = {
        "put": put,
        "same": same,
        "dry_run": dry_run,
        "left_out": [list(one) for one in found.left_out],
        "skipped": dict(found.skipped),
    }
    if not is_human(as_json):
        typer.echo(msgspec.json.encode(report).decode())
        return
    _show(found, put, same, dry_run=dry_run)


def _read(file: Path | None) -> PriceList:
    if file is not None:
        try:
            return read_litellm(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{file}: {error}") from None
    try:
        data = import_module("genai_prices.data")  # an extra; a checker takes 40 s for its types
    except ImportError:
        raise BadInput(
            "the package genai-prices is missing: pip install 'meterd[prices]'"
        ) from None
    return read_genai_prices(data.providers, datetime.now(UTC).date())


async def _put_all(
    client: UsageClient, rows: list[ListedPrice], *, dry_run: bool
) -> tuple[int, int]:
    """Put what differs; how many were put and how many are in force already."""
    known = await _known(client)
    put = same = 0
    for row in rows:
        before = _at(known.get((row.provider, row.model), []), row.since)
        if before is not None and _costs(before) == row.costs:
            same += 1
            continue
        put += 1
        if not dry_run:
            await client.request_catalog("prices.put", _body(row, before))
    return put, same


async def _known(client: UsageClient) -> dict[tuple[str, str], list[PriceEntry]]:
    found: dict[tuple[str, str], list[PriceEntry]] = {}
    cursor: str | None = None
    while True:
        reply = await client.request_catalog("prices.list", {"cursor": cursor})
        page = msgspec.json.decode(reply, type=PricesReply)
        for entry in page.prices:
            found.setdefault((entry.provider, entry.model), []).append(entry)
        cursor = page.next_cursor
        if cursor is None:
            return found


def _at(entries: list[PriceEntry], since: date | None) -> PriceEntry | None:
    """The newest price that is valid now, or from a day on."""
    moment = datetime.now(UTC) if since is None else _midnight(since)
    return next((e for e in reversed(entries) if e.effective_from <= moment), None)


def _costs(entry: PriceEntry) -> dict[str, Decimal]:
    costs: dict[str, Any] = msgspec.structs.asdict(entry)
    return {
        name: cost for name, cost in costs.items() if name.startswith("cost") and cost is not None
    }


def _body(row: ListedPrice, before: PriceEntry | None) -> dict[str, object]:
    """A put whose key is the same whenever the same list is imported over the same price."""
    version = 0 if before is None else before.version
    source = msgspec.json.encode([row.provider, row.model, row.costs, str(row.since), version])
    body: dict[str, object] = {"provider": row.provider, "model": row.model, **row.costs}
    body["event_id"] = f"prices-{blake2b(source, digest_size=12).hexdigest()}"
    if row.since is not None:
        body["effective_from"] = _midnight(row.since)
    return body


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _show(found: PriceList, put: int, same: int, *, dry_run: bool) -> None:
    console = Console(markup=False)
    console.print(f"{put:,} prices {'would be ' if dry_run else ''}put, {same:,} in force already")
    others = ", ".join(f"{name} {count:,}" for name, count in found.skipped.most_common())
    if others:
        console.print(f"models of other providers: {others}")
    if found.left_out:
        console.print(f"{len(found.left_out):,} price fields cannot be taken:")
        for provider, model, name in found.left_out[:_SHOWN]:
            console.print(f"  {provider} {model}: {name}")
        if len(found.left_out) > _SHOWN:
            console.print("  (all of them with --json)")
