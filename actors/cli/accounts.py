"""The verbs about plans, trends and alerts as commands."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from actors.cli import boards, options
from actors.cli.options import TIMEOUT_S, EventId, Json, Moment, Period, Timeout, Url, User, Yes
from actors.cli.output import make_sure, show
from actors.cli.session import call


class Cycle(StrEnum):
    """Billing cycles."""

    MONTHLY = "monthly"
    YEARLY = "yearly"


class KeepOrNew(StrEnum):
    """What becomes of the period under way."""

    KEEP = "keep"
    NEW = "new"


def subscribe(
    user: User,
    plan: Annotated[str, typer.Option("--plan", help="Name or tier.", show_default=False)],
    cycle: Annotated[Cycle, typer.Option("--cycle")] = Cycle.MONTHLY,
    auto_renew: Annotated[bool, typer.Option(help="Begin the next cycle by itself.")] = True,
    period: Annotated[KeepOrNew | None, typer.Option(help="Of the period under way.")] = None,
    period_start: Moment = None,
    override: Annotated[
        list[str] | None,
        typer.Option(metavar="LIMIT=NUMBER", help="May be given again; none lifts a limit."),
    ] = None,
    event_id: EventId = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Put the user on a plan."""
    overrides = options.overrides(override or ())
    reply = call(
        url,
        timeout,
        lambda client: client.subscribe(
            user,
            plan=plan,
            billing_cycle=cycle.value,
            auto_renew=auto_renew,
            period=None if period is None else period.value,
            period_start=period_start,
            overrides=overrides or None,
            event_id=event_id,
        ),
    )
    show(reply, boards.changed, as_json=as_json)


def cancel(
    user: User,
    now: Annotated[bool, typer.Option("--now", help="Not with the billing cycle.")] = False,
    event_id: EventId = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """End the subscription, with its billing cycle or at once."""
    reply = call(
        url,
        timeout,
        lambda client: client.cancel(user, at_period_end=not now, event_id=event_id),
    )
    show(reply, boards.changed, as_json=as_json)


def suspend(
    user: User,
    reason: str | None = None,
    event_id: EventId = None,
    yes: Yes = False,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Have the user's calls refused until they are resumed."""
    make_sure(f"Have all calls of {user} refused?", yes=yes, as_json=as_json)
    reply = call(
        url, timeout, lambda client: client.suspend(user, reason=reason, event_id=event_id)
    )
    show(reply, boards.changed, as_json=as_json)


def resume(
    user: User,
    event_id: EventId = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """End a suspension."""
    reply = call(url, timeout, lambda client: client.resume(user, event_id=event_id))
    show(reply, boards.changed, as_json=as_json)


def subscription(
    user: User, url: Url = None, timeout: Timeout = TIMEOUT_S, as_json: Json = False
) -> None:
    """The subscription and its renewals."""
    reply = call(url, timeout, lambda client: client.subscription(user))
    show(reply, boards.subscribed, as_json=as_json)


def trends(
    user: User,
    months: Annotated[int, typer.Option(min=1, max=36)] = 6,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """The user's last periods side by side."""
    reply = call(url, timeout, lambda client: client.trends(user, months=months))
    show(reply, boards.trended, as_json=as_json)


def alerts(
    user: User,
    unread: Annotated[bool, typer.Option("--unread", help="Only those.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    billing_period: Period = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """The alerts that were raised, newest first."""
    reply = call(
        url,
        timeout,
        lambda client: client.alerts(
            user, unread_only=unread, limit=limit, billing_period=billing_period
        ),
    )
    show(reply, boards.alerted, as_json=as_json)


def ack(
    user: User,
    ids: Annotated[list[str] | None, typer.Argument(help="Alert ids; all without.")] = None,
    event_id: EventId = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Mark alerts read."""
    reply = call(url, timeout, lambda client: client.ack(user, ids or None, event_id=event_id))
    show(reply, boards.acknowledged, as_json=as_json)


def dashboard(
    user: User, url: Url = None, timeout: Timeout = TIMEOUT_S, as_json: Json = False
) -> None:
    """Stats, trends, unread alerts and projections."""
    reply = call(url, timeout, lambda client: client.dashboard(user))
    show(reply, boards.dashboard, as_json=as_json)
