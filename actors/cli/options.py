"""Options that several commands share, and the parsers of their values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, get_args

import typer

from actors.cli.importer.errors import BadValue
from actors.cli.importer.values import exact, moment
from messages.scalars import Outcome as OutcomeText
from messages.scalars import PeriodKey
from messages.units import to_day

TIMEOUT_S: Final = 2.0
_PERIOD: Final = re.compile(get_args(PeriodKey)[1].pattern)

User = Annotated[str, typer.Argument(metavar="USER", help="The user id.", show_default=False)]
Url = Annotated[
    str | None,
    typer.Option("--url", help="Where NATS is; else METERD_NATS_URL.", show_default=False),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Holds the database; else METERD_DATA_DIR.", show_default=False
    ),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=0.05, max=3600, help="Seconds for the call with all retries."),
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object, as if stdout were not a terminal.")
]
JsonFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="JSON or JSON Lines; - for stdin.", show_default=False),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def period(text: str) -> str:
    """A billing period's key."""
    if not _PERIOD.match(text):
        raise typer.BadParameter(
            f"{text!r} is no billing period: write 2026-03, or 2026-03.2 for the second that "
            f"began in that month"
        )
    return text


Period = Annotated[
    str | None,
    typer.Option(
        "--period",
        parser=period,
        metavar="PERIOD",
        help="A billing period such as 2026-03.",
        show_default=False,
    ),
]


Pairs = list[str] | None
Tags = Annotated[
    Pairs, typer.Option("--tag", metavar="KEY=VALUE", help="A dimension. May be given again.")
]
KeyId = Annotated[
    str | None, typer.Option("--key", help="Which API key or device: an id, never the secret.")
]


UnitAmounts = Annotated[
    Pairs,
    typer.Option("--unit", metavar="NAME=NUMBER", help="Of a unit. May be given again."),
]
UnitsRequested = Annotated[
    Pairs,
    typer.Option("--units-requested", metavar="NAME=NUMBER", help="Of a unit. May be given again."),
]


def outcome(text: str) -> str:
    """How a call ended."""
    if text not in get_args(OutcomeText):
        known = ", ".join(get_args(OutcomeText))
        raise typer.BadParameter(f"{text!r} is no outcome: one of {known}")
    return text


Outcome = Annotated[
    str | None,
    typer.Option(
        "--outcome",
        parser=outcome,
        metavar="OUTCOME",
        help="How the call ended: ok, failed, cancelled or unknown.",
        show_default=False,
    ),
]


def money(text: str) -> Decimal:
    """An amount of USD, exactly as written."""
    try:
        return exact(text)
    except BadValue as error:
        raise typer.BadParameter(str(error)) from None


def instant(text: str) -> datetime:
    """A time of RFC 3339."""
    try:
        return moment(text)
    except BadValue as error:
        raise typer.BadParameter(str(error)) from None


def day(text: str) -> str:
    """A day, as it is written."""
    try:
        to_day(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day: write 2026-01-31") from None
    return text


def pairs_of(given: Iterable[str], option: str) -> dict[str, str]:
    """Options ``key=value`` as one object."""
    found: dict[str, str] = {}
    for pair in given:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise typer.BadParameter(f"{pair!r}: write key=value", param_hint=option)
        found[key] = value
    return found


def amounts_of(given: Iterable[str] | None, option: str) -> dict[str, Decimal] | None:
    """Options ``name=number`` as one object, exactly as written; None if there are none."""
    if not given:
        return None
    try:
        return {name: exact(number) for name, number in pairs_of(given, option).items()}
    except BadValue as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def overrides(pairs: Iterable[str]) -> dict[str, int | Decimal | None]:
    """Options ``limit=number`` as one object; cost limits in USD, ``none`` lifts one."""
    found: dict[str, int | Decimal | None] = {}
    for pair in pairs:
        name, separator, number = pair.partition("=")
        if not separator or not name:
            why = f"{pair!r}: write limit=number, or limit=none"
            raise typer.BadParameter(why, param_hint="--override")
        if number == "none":
            found[name] = None
            continue
        value = money(number)
        found[name] = value if name.endswith("_cost") or value != int(value) else int(value)
    return found


Provider = Annotated[str, typer.Option("--provider", help="Such as openai.", show_default=False)]
Money = Annotated[Decimal | None, typer.Option(parser=money, metavar="USD")]
Moment = Annotated[datetime | None, typer.Option(parser=instant, metavar="RFC3339")]
EventId = Annotated[
    str | None,
    typer.Option("--event-id", help="The idempotency key; else a new one.", show_default=False),
]
