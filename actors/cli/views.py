"""Replies for people: tables and sentences of rich. What the service sends is never markup."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from actors.cli.shares import held_of, used_of
from messages.admission import EnforceReply, HoldReply, HoldsReply, LimitState, Number
from messages.reports import LogsReply, NamedUsage, StatsReply
from messages.usage import ResetReply, TrackReply

_ANY_WIDTH: Final = 10_000
_STATUS: Final = {"active": "green", "warning": "yellow", "limit_reached": "red"}
_SEVERITY: Final = {"info": "cyan", "warning": "yellow", "error": "red"}


def tracked(reply: TrackReply) -> RenderableType:
    """The reply to `track`."""
    known = "was counted before" if reply.duplicate else "counted"
    head = Text.assemble(
        (known, "bold"),
        f": {reply.provider}, {counted(reply.tokens_used, 'token')}, {amount(reply.cost)} USD",
        f" ({reply.priced}{_by(reply)})" + (", late" if reply.late else ""),
    )
    alerts = Text(f"alerts raised: {len(reply.alerts)}" if reply.alerts else "", "yellow")
    where = Text(f"period {reply.billing_period}, key {reply.event_id}, status ")
    status = where.append_text(_status(reply.usage_status))
    return lines(head, status, _missing(reply.unpriced), alerts)


def _missing(unpriced: Sequence[str]) -> Text:
    """What was sent, and the price of the model does not have."""
    return Text(f"without a price: {', '.join(unpriced)}" if unpriced else "", "yellow")


def _by(reply: TrackReply) -> str:
    """How the price was found, where that is not the model's own name."""
    if reply.matched_by in {None, "exact", "provider_default"}:
        return ""
    return f" of {reply.price_model}, {reply.matched_by}"


def decided(reply: EnforceReply | HoldReply) -> RenderableType:
    """The reply to `enforce`."""
    word = ("allowed", "bold green") if reply.allowed else ("refused", "bold red")
    head = Text.assemble(word, f": {reply.message}")
    if not reply.allowed:
        head.append(f" ({reply.reason_code})")
    if reply.retry_after is not None:
        head.append(f", resets in {reply.retry_after:,} s")
    missing = _missing(reply.unpriced)
    return lines(head, missing, _limits(reply.limits)) if reply.limits else lines(head, missing)


def reset_done(reply: ResetReply) -> RenderableType:
    """The reply to `reset`."""
    if not reply.reset:
        return Text(f"nothing to reset in period {reply.billing_period}: {reply.reason}")
    known = " (was done before)" if reply.duplicate else ""
    return Text(f"counters of period {reply.billing_period} start again{known}")


def summary(reply: StatsReply, open_holds: HoldsReply | None = None) -> RenderableType:
    """The reply to `stats`; with that to `holds`, what is held of each limit."""
    head = Text.assemble(
        (f"{reply.billing_period}", "bold"),
        f"  {_day(reply.period_start)} to {_day(reply.period_end)},",
        f" plan {reply.limits.plan_name} ({reply.limits.tier}), ",
        _status(reply.usage_status),
    )
    totals = Text(
        f"{counted(reply.total_calls, 'call')}, {counted(reply.total_tokens, 'token')}, "
        f"{amount(reply.total_cost)} USD, {reply.avg_response_time:.3f} s on average, "
        f"{reply.error_rate:g} % errors"
    )
    units = Text(_units(reply.units), overflow="fold")
    guessed = reply.estimated
    unpriced = Text(
        f"priced by the estimate: {counted(guessed.calls, 'call')}, {amount(guessed.cost)} USD; "
        f"without some price: {counted(reply.unpriced_calls, 'call')}"
        if guessed.calls or reply.unpriced_calls
        else "",
        "yellow",
    )
    held = reply.held
    holds = Text(
        f"held: {counted(held.calls, 'call')}, {counted(held.tokens, 'token')}, "
        f"{amount(held.cost)} USD in {counted(held.open, 'hold')}"
        if held.open
        else ""
    )
    return lines(
        head,
        totals,
        units,
        unpriced,
        holds,
        _usage("provider", reply.provider_breakdown),
        _usage("model", reply.model_breakdown),
        _bounds(reply, open_holds),
        *(
            Text(f"{alert.title}: {alert.message}", _SEVERITY.get(alert.severity, ""))
            for alert in reply.alerts
        ),
    )


def logged(reply: LogsReply) -> RenderableType:
    """The reply to `logs`."""
    table = grid("time", "provider", "model", "#in", "#out", "#USD", "#code", "key")
    for entry in reply.logs:
        table.add_row(
            instant(entry.timestamp),
            cell(entry.provider),
            cell(entry.model_used),
            f"{entry.tokens_input:,}",
            f"{entry.tokens_output:,}",
            amount(entry.cost),
            str(entry.status_code),
            cell(entry.event_id),
        )
    shown, total = len(reply.logs), reply.total_count
    of = f"{shown:,} of " if total is not None else ""
    noun = "entry" if (shown if total is None else total) == 1 else "entries"
    return lines(table, Text(f"{of}{shown if total is None else total:,} {noun}"))


def amount(number: Number) -> str:
    """Money or a count without an exponent and without trailing zeros."""
    if isinstance(number, int):
        return f"{number:,}"
    return f"{number.normalize():,f}" if number else "0"


def _limits(limits: tuple[LimitState, ...]) -> RenderableType:
    table = grid("limit", "#used", "#held", "#asked", "#limit", "#left", "kind")
    for limit in limits:
        numbers = (limit.used, limit.held, limit.requested, limit.limit, limit.remaining)
        table.add_row(cell(limit.name), *map(amount, numbers), limit.kind)
    resets = dict.fromkeys(instant(limit.resets_at) for limit in limits)
    return lines(table, Text(f"resets at {', '.join(resets)}"))


def _usage(title: str, parts: dict[str, NamedUsage]) -> RenderableType:
    used = {name: part for name, part in parts.items() if part.calls or part.units}
    if not used:
        return Text()
    columns = ["units"] if any(part.units for part in used.values()) else []
    table = grid(title, "#calls", "#tokens", "#USD", *columns)
    for name, part in used.items():
        units = [_units(part.units)] if columns else []
        table.add_row(cell(name), f"{part.calls:,}", f"{part.tokens:,}", amount(part.cost), *units)
    return table


def _units(amounts: dict[str, Number]) -> str:
    """Amounts by unit in a line."""
    return ", ".join(f"{amount(number)} {unit}" for unit, number in amounts.items())


def _bounds(reply: StatsReply, holds: HoldsReply | None) -> RenderableType:
    """The limits; what is held of each is known if the holds are, or there are none."""
    if not reply.usage_percentages:
        return Text()
    table = grid("limit", "#used", "#held", "#limit", "#left", "#%")
    for name, percentage in reply.usage_percentages.items():
        colour = "red" if percentage >= 100 else "yellow" if percentage >= 80 else ""
        limit, used = reply.limits.limits.get(name, Decimal(0)), used_of(name, reply)
        held = held_of(name, holds, reply)
        table.add_row(
            cell(name),
            amount(used),
            "?" if held is None else amount(held),
            amount(limit),
            "?" if held is None else amount(Decimal(limit) - used - held),
            Text(f"{percentage:g}", colour),
        )
    return table


class Grid:
    """A table of which nothing is ever cut.

    If it is wider than the terminal, each row is a paragraph: what its first column has, and
    the others below with their names, broken between words or, if need be, inside one.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._names = [name.removeprefix("#") for name in columns]
        self._table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for name in columns:
            justify: Literal["left", "right"] = "right" if name.startswith("#") else "left"
            self._table.add_column(name.removeprefix("#"), justify=justify, no_wrap=True)
        self._rows: list[tuple[Text, ...]] = []

    @property
    def row_count(self) -> int:
        """How many rows it has."""
        return len(self._rows)

    def add_row(self, *cells: str | Text) -> None:
        """Add a row with a cell for each column."""
        row = tuple(Text(each) if isinstance(each, str) else each for each in cells)
        self._rows.append(row)
        self._table.add_row(*row)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._rows:
            return
        unbounded = options.update(max_width=_ANY_WIDTH)
        if Measurement.get(console, unbounded, self._table).maximum <= options.max_width:
            yield self._table
            return
        for first, *others in self._rows:
            yield Text.assemble(first, style="bold", overflow="fold")
            about = [
                Text.assemble((f"{name} ", "dim"), value)
                for name, value in zip(self._names[1:], others, strict=True)
                if value
            ]
            yield Padding(Text("  ", overflow="fold").join(about), (0, 0, 0, 2))


def grid(*columns: str) -> Grid:
    """A table; the columns named with ``#`` hold numbers."""
    return Grid(columns)


def counted(number: int, what: str) -> str:
    """A number of things: ``1 call``, ``2 calls``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def lines(*parts: RenderableType) -> Group:
    """Parts one below the other, without empty texts."""
    return Group(*(part for part in parts if not isinstance(part, Text) or part))


def cell(text: str) -> Text:
    """Text of somebody else's: never markup, always printable."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def _status(status: str) -> Text:
    return Text(status, _STATUS.get(status, ""))


def instant(moment: datetime) -> str:
    """A moment in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"
