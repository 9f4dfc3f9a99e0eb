"""The verbs of the service as commands: options in, one reply out."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from actors.cli import options, views
from actors.cli.charge import with_charge
from actors.cli.options import (
    TIMEOUT_S,
    EventId,
    Json,
    KeyId,
    Moment,
    Money,
    Outcome,
    Period,
    Provider,
    Tags,
    Timeout,
    UnitAmounts,
    UnitsRequested,
    Url,
    User,
    Yes,
)
from actors.cli.output import is_human, make_sure, show
from actors.cli.session import EXIT_NOT_ALLOWED, call
from messages.admission import HoldsReply
from messages.client.client import UsageClient
from messages.client.fields import EnforceFields, LogsFields, TrackFields
from messages.errors import MeterdError
from messages.reports import LogsReply, StatsReply

_PAGE_MAX: Final = 1000


@with_charge(before="response_time")
def track(
    user: User,
    provider: Provider,
    event_id: EventId = None,
    model_used: str | None = None,
    endpoint: str | None = None,
    method: str | None = None,
    actual_provider_name: str | None = None,
    response_time: Annotated[float | None, typer.Option(help="In seconds.")] = None,
    status_code: int | None = None,
    request_size: int | None = None,
    response_size: int | None = None,
    user_agent: str | None = None,
    ip_address: str | None = None,
    error_message: str | None = None,
    retry_count: int | None = None,
    timestamp: Moment = None,
    cost: Money = None,
    hold_id: str | None = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be given again.")
    ] = None,
    outcome: Outcome = None,
    key: KeyId = None,
    tags: Tags = None,
    units: UnitAmounts = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
    **charge: Any,
) -> None:
    """A call was made: price it, log it, count it."""
    fields = _given({**locals(), **charge}, TrackFields)
    if metadata:
        fields["metadata"] = options.pairs_of(metadata, "--metadata")
    if tags:
        fields["tags"] = options.pairs_of(tags, "--tag")
    fields["units"] = options.amounts_of(units, "--unit")
    reply = call(url, timeout, lambda client: client.track(user, **fields))
    show(reply, views.tracked, as_json=as_json)


@with_charge(before="key")
def enforce(
    user: User,
    provider: Provider,
    model_used: str | None = None,
    actual_provider_name: str | None = None,
    endpoint: str | None = None,
    tokens_requested: int | None = None,
    cost_requested: Money = None,
    calls: int | None = None,
    key: KeyId = None,
    tags: Tags = None,
    units_requested: UnitsRequested = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
    **charge: Any,
) -> None:
    """May this user make this call? Exit code 4 if not."""
    fields = _given({**locals(), **charge}, EnforceFields)
    if tags:
        fields["tags"] = options.pairs_of(tags, "--tag")
    fields["units_requested"] = options.amounts_of(units_requested, "--units-requested")
    reply = call(url, timeout, lambda client: client.enforce(user, **fields))
    show(reply, views.decided, as_json=as_json)
    if not reply.allowed:
        raise typer.Exit(EXIT_NOT_ALLOWED)


def reset(
    user: User,
    reason: str | None = None,
    event_id: EventId = None,
    yes: Yes = False,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Start the counters of the current period again."""
    make_sure(f"Start the counters of {user} again?", yes=yes, as_json=as_json)
    reply = call(url, timeout, lambda client: client.reset(user, reason=reason, event_id=event_id))
    show(reply, views.reset_done, as_json=as_json)


def stats(
    user: User,
    period: Period = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """The live summary of a billing period."""
    human = is_human(as_json)

    async def ask(client: UsageClient) -> tuple[StatsReply, HoldsReply | None]:
        reply = await client.stats(user, billing_period=period)
        if not (human and reply.held.open):
            return reply, None
        try:
            return reply, await client.holds(user)
        except MeterdError:  # a role that reads may not ask for holds
            return reply, None

    reply, holds = call(url, timeout, ask)
    show(reply, lambda stats: views.summary(stats, holds), as_json=as_json)


def logs(
    user: User,
    limit: Annotated[int, typer.Option(min=1, help="Entries in all, over all pages.")] = 50,
    provider: str | None = None,
    status_code: int | None = None,
    model_used: str | None = None,
    key: KeyId = None,
    outcome: Outcome = None,
    tags: Tags = None,
    billing_period: Period = None,
    event_id: Annotated[str | None, typer.Option(help="One event by its key.")] = None,
    since: Moment = None,
    until: Moment = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """The usage log, newest arrival first."""
    fields = _given(locals(), LogsFields)
    del fields["limit"]
    if tags:
        fields["tags"] = options.pairs_of(tags, "--tag")
    reply = call(url, timeout, lambda client: _pages(client, user, limit, fields))
    show(reply, views.logged, as_json=as_json)


async def _pages(client: UsageClient, user: str, limit: int, filters: dict[str, Any]) -> LogsReply:
    """The first ``limit`` entries as one page."""
    page = await client.logs(user, limit=min(limit, _PAGE_MAX), **filters)
    entries, total, seq = list(page.logs), page.total_count, page.seq
    while page.next_cursor is not None and len(entries) < limit:
        size = min(limit - len(entries), _PAGE_MAX)
        page = await client.logs(user, limit=size, cursor=page.next_cursor, **filters)
        entries += page.logs
    return LogsReply(logs=tuple(entries), next_cursor=page.next_cursor, total_count=total, seq=seq)


def _given(parameters: dict[str, Any], fields: type) -> dict[str, Any]:
    """The parameters of a command that are fields of its verb and were given."""
    names = fields.__annotations__
    return {
        name: value for name, value in parameters.items() if name in names and value is not None
    }
