"""The commands ``plans``, ``providers``, ``users`` and ``estimate``: the catalogue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
import typer

from actors.cli import options, shelves
from actors.cli.charge import with_charge
from actors.cli.files import rows_of
from actors.cli.options import TIMEOUT_S, Json, Period, Provider, Timeout, Url
from actors.cli.output import show
from actors.cli.session import call, errors_as_exit_codes
from messages.catalog import (
    UserEntry,
    UsersReply,
)
from messages.client.client import UsageClient
from messages.verbs import BY_NAME

_PAGE: Final = 1_000

plans = typer.Typer(help="The plans that users can be put on.", invoke_without_command=True)
providers = typer.Typer(help="The providers that calls can name.", invoke_without_command=True)


async def ask(client: UsageClient, what: str, body: dict[str, Any]) -> Any:
    """Ask something of the catalogue, such as ``plans.list``; the reply as its struct."""
    reply = await client.request_catalog(what, body)
    return msgspec.json.decode(reply, type=BY_NAME[f"catalog.{what}"].reply)


async def ask_each(client: UsageClient, what: str, bodies: Sequence[dict[str, Any]]) -> list[Any]:
    """Ask for one after the other; the replies as their structs, in that order."""
    return [await ask(client, what, body) for body in bodies]


async def all_pages(client: UsageClient, what: str, field: str, body: dict[str, Any]) -> Any:
    """The first page, with what all later ones have in ``field`` added to it."""
    page = await ask(client, what, body)
    rows = list(getattr(page, field))
    while page.next_cursor is not None:
        page = await ask(client, what, {**body, "cursor": page.next_cursor})
        rows += getattr(page, field)
    return msgspec.structs.replace(page, **{field: tuple(rows)})


@plans.callback()
def all_plans(context: typer.Context) -> None:
    """List the plans, unless a command follows."""
    if context.invoked_subcommand is None:
        list_plans()


@plans.command("list")
def list_plans(url: Url = None, timeout: Timeout = TIMEOUT_S, as_json: Json = False) -> None:
    """All plans, with their limits on a period."""
    reply = call(url, timeout, lambda client: all_pages(client, "plans.list", "plans", {}))
    show(reply, shelves.plans, as_json=as_json)


@plans.command("put", epilog="Example: meterd plans put team.json")
def put_plans(
    file: options.JsonFile,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Put the plan of a JSON file, or each of several, as `plans list --json` shows them.

    For subscribers they hold from their next period on.
    """
    with errors_as_exit_codes():
        bodies = [
            {name: value for name, value in plan.items() if name != "version"}
            for plan in rows_of(file)
        ]

    for reply in call(url, timeout, lambda client: ask_each(client, "plans.put", bodies)):
        show(reply, shelves.plan_put, as_json=as_json)


@providers.callback()
def all_providers(context: typer.Context) -> None:
    """List the providers, unless a command follows."""
    if context.invoked_subcommand is None:
        list_providers()


@providers.command("list")
def list_providers(url: Url = None, timeout: Timeout = TIMEOUT_S, as_json: Json = False) -> None:
    """All providers, with what a call means that names no model."""
    reply = call(url, timeout, lambda client: all_pages(client, "providers.list", "providers", {}))
    show(reply, shelves.providers, as_json=as_json)


@providers.command("put", epilog="Example: meterd providers put vllm.json")
def put_providers(
    file: options.JsonFile,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Put the provider of a JSON file, or each of several, as `providers list --json` shows them.

    What a provider leaves out is the default, and not what was there.
    """
    with errors_as_exit_codes():
        bodies = rows_of(file)

    for reply in call(url, timeout, lambda client: ask_each(client, "providers.put", bodies)):
        show(reply, shelves.provider_put, as_json=as_json)


@providers.command("archive", epilog="Example: meterd providers archive vllm")
def archive_provider(
    provider: Annotated[str, typer.Argument(help="Its id.", show_default=False)],
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Have a provider refused where calls are admitted, until it is put again."""
    body = {"id": provider}
    reply = call(url, timeout, lambda client: ask(client, "providers.archive", body))
    show(reply, shelves.provider_archived, as_json=as_json)


class Sort(StrEnum):
    """What users are listed by."""

    ID = "id"
    COST = "cost"
    TOKENS = "tokens"
    CALLS = "calls"
    LAST_UPDATED = "last_updated"


def users(
    sort: Annotated[
        Sort, typer.Option(help="By id from the first on; by all else from the greatest down.")
    ] = Sort.ID,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Users in all.")] = 50,
    prefix: Annotated[str | None, typer.Option(help="Only ids that begin so.")] = None,
    period: Period = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S * 5,
    as_json: Json = False,
) -> None:
    """Users with what a period of each counts: the current one, or that of `--period`.

    Except by id, the service looks at all users for each page of 1,000, within `--timeout`.
    """
    body = {"billing_period": period, "prefix": prefix}
    reply = call(url, timeout, lambda client: _users(client, sort, limit, body))
    show(reply, shelves.users, as_json=as_json)


async def _users(client: UsageClient, sort: Sort, limit: int, body: dict[str, Any]) -> UsersReply:
    found: list[UserEntry] = []
    seq = 0
    asked = body if sort is Sort.ID else {**body, "sort": sort}
    async for page in user_pages(client, asked, limit):
        seq = max(seq, page.seq)
        found += page.users
        if len(found) >= limit:
            break
    return UsersReply(users=tuple(found[:limit]), next_cursor=None, seq=seq)


async def user_pages(
    client: UsageClient, body: dict[str, Any], size: int = _PAGE
) -> AsyncIterator[UsersReply]:
    """The pages of `users.list`, one at a time."""
    cursor = None
    while True:
        asked = {**body, "limit": min(size, _PAGE), "cursor": cursor}
        page = await ask(client, "users.list", asked)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return
        await asyncio.sleep(0)


@with_charge(before="text")
def estimate(
    provider: Provider,
    model_used: str | None = None,
    text: Annotated[
        str | None, typer.Option(help="Its words count as input, 1.3 tokens each.")
    ] = None,
    units: options.UnitAmounts = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
    **charge: Any,
) -> None:
    """What a call would cost now."""
    amounts = options.amounts_of(units, "--unit")
    body = {
        "provider": provider,
        "model_used": model_used,
        "text": text,
        "units": amounts,
        **charge,
    }
    reply = call(url, timeout, lambda client: ask(client, "estimate.cost", body))
    show(reply, shelves.estimated, as_json=as_json)
