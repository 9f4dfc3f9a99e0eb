"""Replies for people: tables and sentences of rich. What the service sends is never markup."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from messages.admission import EnforceReply, HoldReply, LimitState, Number
from messages.reports import LogsReply, StatsReply, Usage
from messages.usage import ResetReply, TrackReply

_STATUS: Final = {"active": "green", "warning": "yellow", "limit_reached": "red"}
_SEVERITY: Final = {"info": "cyan", "warning": "yellow", "error": "red"}


def tracked(reply: TrackReply) -> RenderableType:
    """The reply to `track`."""
    known = "was counted before" if reply.duplicate else "counted"
    head = Text.assemble(
        (known, "bold"),
        f": {reply.provider}, {reply.tokens_used:,} tokens, {amount(reply.cost)} USD",
        f" ({reply.priced})" + (", late" if reply.late else ""),
    )
    alerts = Text(f"alerts raised: {len(reply.alerts)}" if reply.alerts else "", "yellow")
    where = Text(f"period {reply.billing_period}, key {reply.event_id}, status ")
    return lines(head, where.append_text(_status(reply.usage_status)), alerts)


def decided(reply: EnforceReply | HoldReply) -> RenderableType:
    """The reply to `enforce`."""
    word = ("allowed", "bold green") if reply.allowed else ("refused", "bold red")
    head = Text.assemble(word, f": {reply.message}")
    if not reply.allowed:
        head.append(f" ({reply.reason_code})")
    if reply.retry_after is not None:
        head.append(f", resets in {reply.retry_after:,} s")
    return lines(head, _limits(reply.limits)) if reply.limits else head


def reset_done(reply: ResetReply) -> RenderableType:
    """The reply to `reset`."""
    if not reply.reset:
        return Text(f"nothing to reset in period {reply.billing_period}: {reply.reason}")
    known = " (was done before)" if reply.duplicate else ""
    return Text(f"counters of period {reply.billing_period} start again{known}")


def summary(reply: StatsReply) -> RenderableType:
    """The reply to `stats`."""
    head = Text.assemble(
        (f"{reply.billing_period}", "bold"),
        f"  {_day(reply.period_start)} to {_day(reply.period_end)},",
        f" plan {reply.limits.plan_name} ({reply.limits.tier}), ",
        _status(reply.usage_status),
    )
    totals = Text(
        f"{reply.total_calls:,} calls, {reply.total_tokens:,} tokens, "
        f"{amount(reply.total_cost)} USD, {reply.avg_response_time:.3f} s on average, "
        f"{reply.error_rate:g} % errors"
    )
    held = reply.held
    holds = Text(
        f"held: {held.calls:,} calls, {held.tokens:,} tokens, {amount(held.cost)} USD"
        f" in {held.open:,} holds"
        if held.open
        else ""
    )
    return lines(
        head,
        totals,
        holds,
        _usage("provider", reply.provider_breakdown),
        _usage("model", reply.model_breakdown),
        _percentages(reply),
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
    shown = f"{len(reply.logs):,}"
    total = "" if reply.total_count is None else f" of {reply.total_count:,}"
    return lines(table, Text(f"{shown}{total} entries"))


def amount(number: Number) -> str:
    """Money or a count without an exponent and without trailing zeros."""
    if isinstance(number, int):
        return f"{number:,}"
    return f"{number.normalize():,f}" if number else "0"


def _limits(limits: tuple[LimitState, ...]) -> Table:
    table = grid("limit", "kind", "#used", "#held", "#requested", "#limit", "#%", "resets")
    for limit in limits:
        numbers = (limit.used, limit.held, limit.requested, limit.limit)
        percentage = "" if limit.percentage is None else f"{limit.percentage:g}"
        table.add_row(
            limit.name, limit.kind, *map(amount, numbers), percentage, instant(limit.resets_at)
        )
    return table


def _usage(title: str, parts: dict[str, Usage]) -> Table | Text:
    used = {name: part for name, part in parts.items() if part.calls}
    if not used:
        return Text()
    table = grid(title, "#calls", "#tokens", "#USD")
    for name, part in used.items():
        table.add_row(cell(name), f"{part.calls:,}", f"{part.tokens:,}", amount(part.cost))
    return table


def _percentages(reply: StatsReply) -> Table | Text:
    if not reply.usage_percentages:
        return Text()
    table = grid("limit", "#limit", "#%")
    for name, percentage in reply.usage_percentages.items():
        colour = "red" if percentage >= 100 else "yellow" if percentage >= 80 else ""
        limit = reply.limits.limits.get(name, Decimal(0))
        table.add_row(name, amount(limit), Text(f"{percentage:g}", colour))
    return table


def grid(*columns: str) -> Table:
    """A table; the columns named with ``#`` hold numbers."""
    table = Table(header_style="bold", show_edge=False)
    for name in columns:
        numeric = name.startswith("#")
        table.add_column(
            name.removeprefix("#"), justify="right" if numeric else "left", no_wrap=numeric
        )
    return table


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
