"""The verbs of admission and ``batch`` as commands; a refusal is exit code 4."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from actors.cli import boards
from actors.cli.charge import with_charge
from actors.cli.files import objects
from actors.cli.options import (
    TIMEOUT_S,
    EventId,
    Json,
    JsonFile,
    KeyId,
    Money,
    Provider,
    Tags,
    Timeout,
    UnitsRequested,
    Url,
    User,
    amounts_of,
    pairs_of,
)
from actors.cli.output import show
from actors.cli.session import EXIT_NOT_ALLOWED, call, errors_as_exit_codes

HoldId = Annotated[str, typer.Argument(metavar="HOLD", help="The hold's id.", show_default=False)]
Ttl = Annotated[int | None, typer.Option(min=1, max=86_400, help="In seconds.")]


@with_charge(before="key")
def hold(
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
    ttl: Ttl = None,
    event_id: EventId = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
    **charge: Any,
) -> None:
    """Check a call and set aside what it needs. Exit code 4 if it is refused."""
    reply = call(
        url,
        timeout,
        lambda client: client.hold(
            user,
            provider=provider,
            model_used=model_used,
            actual_provider_name=actual_provider_name,
            endpoint=endpoint,
            tokens_requested=tokens_requested,
            cost_requested=cost_requested,
            calls=calls,
            key=key,
            tags=pairs_of(tags, "--tag") if tags else None,
            units_requested=amounts_of(units_requested, "--units-requested"),
            ttl=ttl,
            event_id=event_id,
            **charge,
        ),
    )
    show(reply, boards.held, as_json=as_json)
    _exit_unless(reply.allowed)


def extend(
    user: User,
    hold_id: HoldId,
    ttl: Ttl = None,
    tokens_requested: int | None = None,
    cost_requested: Money = None,
    units_requested: UnitsRequested = None,
    event_id: EventId = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Have an open hold last longer, or hold other amounts. Exit code 4 if it is refused."""
    reply = call(
        url,
        timeout,
        lambda client: client.extend(
            user,
            hold_id,
            ttl=ttl,
            tokens_requested=tokens_requested,
            cost_requested=cost_requested,
            units_requested=amounts_of(units_requested, "--units-requested"),
            event_id=event_id,
        ),
    )
    show(reply, boards.held, as_json=as_json)
    _exit_unless(reply.allowed)


def release(
    user: User,
    hold_id: HoldId,
    event_id: EventId = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """End an open hold: its call will not be made."""
    reply = call(url, timeout, lambda client: client.release(user, hold_id, event_id=event_id))
    show(reply, boards.released, as_json=as_json)


def holds(user: User, url: Url = None, timeout: Timeout = TIMEOUT_S, as_json: Json = False) -> None:
    """The open holds, oldest first."""
    reply = call(url, timeout, lambda client: client.holds(user))
    show(reply, boards.holds, as_json=as_json)


def preflight(
    user: User,
    file: JsonFile,
    hold: Annotated[bool, typer.Option("--hold", help="Set each operation aside.")] = False,
    ttl: Ttl = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """May the user make all of these calls? FILE holds the operations. Exit code 4 if not."""
    with errors_as_exit_codes():
        operations = objects(file)
    holding: Any = {"ttl": ttl} if hold else None
    reply = call(url, timeout, lambda client: client.preflight(user, operations, hold=holding))
    show(reply, boards.preflighted, as_json=as_json)
    _exit_unless(reply.allowed)


def batch(
    user: User,
    file: JsonFile,
    event_id: EventId = None,
    url: Url = None,
    timeout: Timeout = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Record up to 1,000 calls of FILE in one write."""
    with errors_as_exit_codes():
        events = objects(file)
    reply = call(url, timeout, lambda client: client.batch(user, events, event_id=event_id))
    show(reply, boards.batched, as_json=as_json)


def _exit_unless(allowed: bool) -> None:
    if not allowed:
        raise typer.Exit(EXIT_NOT_ALLOWED)
