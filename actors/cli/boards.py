"""Replies about holds, plans and alerts for people: tables and sentences of rich."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from actors.cli.views import amount, cell, counted, decided, grid, instant, lines, summary
from messages.admission import HoldReply, HoldsReply, PreflightReply, ReleaseReply
from messages.reports import AckReply, AlertReply, AlertsReply, DashboardReply, TrendsReply
from messages.subscriptions import SubscriptionChangeReply, SubscriptionReply, SubscriptionState
from messages.usage import BatchReply


def held(reply: HoldReply) -> RenderableType:
    """The reply to `hold` and `extend`."""
    if reply.hold_id is None or reply.expires_at is None:
        return decided(reply)
    about = Text(f"hold {reply.hold_id}, until {instant(reply.expires_at)}")
    return Group(decided(reply), about)


def released(reply: ReleaseReply) -> RenderableType:
    """The reply to `release`."""
    return Text(f"hold {reply.hold_id} is released")


def holds(reply: HoldsReply) -> RenderableType:
    """The reply to `holds`."""
    shown = grid("hold", "provider", "model", "#calls", "#tokens", "#USD", "until")
    for hold in reply.holds:
        shown.add_row(
            cell(hold.hold_id),
            cell(hold.provider),
            cell(hold.model_used),
            f"{hold.calls:,}",
            f"{hold.tokens:,}",
            amount(hold.cost),
            instant(hold.expires_at),
        )
    return lines(shown, Text(counted(reply.held.open, "open hold")))


def preflighted(reply: PreflightReply) -> RenderableType:
    """The reply to `preflight`."""
    shown = grid("#", "operation", "provider", "verdict", "hold")
    for number, operation in enumerate(reply.operations):
        verdict = "allowed" if operation.allowed else operation.reason_code
        names = (operation.operation_type or "", operation.provider, verdict)
        shown.add_row(str(number), *map(cell, names), cell(operation.hold_id or ""))
    word = ("allowed", "bold green") if reply.allowed else ("refused", "bold red")
    return lines(Text.assemble(word, f": {reply.message}"), shown)


def batched(reply: BatchReply) -> RenderableType:
    """The reply to `batch`."""
    return Text(
        f"{reply.accepted:,} accepted, {reply.duplicates:,} counted before, "
        f"{reply.rejected:,} rejected"
    )


def trended(reply: TrendsReply) -> RenderableType:
    """The reply to `trends`."""
    shown = grid("period", "#calls", "#tokens", "#USD")
    columns = (reply.periods, reply.total_calls, reply.total_tokens, reply.total_cost)
    for period, calls, tokens, cost in zip(*columns, strict=True):
        shown.add_row(period, f"{calls:,}", f"{tokens:,}", amount(cost))
    return shown


def alerted(reply: AlertsReply) -> RenderableType:
    """The reply to `alerts`."""
    counts = Text(f"{counted(reply.total, 'alert')}, {reply.unread_count:,} unread")
    return lines(_alerts(reply.alerts), counts)


def acknowledged(reply: AckReply) -> RenderableType:
    """The reply to `ack`."""
    return Text(f"{reply.acked:,} marked read, {reply.unread_count:,} left unread")


def changed(reply: SubscriptionChangeReply) -> RenderableType:
    """The reply to `subscribe`, `cancel`, `suspend` and `resume`."""
    kind = Text(f"({reply.renewal_type})" if reply.renewal_type else "")
    raised = Text(f"alerts raised: {len(reply.alerts)}" if reply.alerts else "", "yellow")
    return lines(_subscription(reply.subscription), kind, raised)


def subscribed(reply: SubscriptionReply) -> RenderableType:
    """The reply to `subscription`."""
    shown = grid("at", "kind", "plan", "from", "to", "#calls before", "#USD before")
    for entry in reply.history:
        before = entry.usage_before
        shown.add_row(
            instant(entry.created_at),
            entry.renewal_type,
            cell(entry.plan),
            instant(entry.period_start),
            instant(entry.period_end),
            f"{before.calls:,}",
            amount(before.cost),
        )
    return lines(_subscription(reply.subscription), shown)


def dashboard(reply: DashboardReply) -> RenderableType:
    """The reply to `dashboard`."""
    outlook = reply.projections
    limit = "" if outlook.cost_limit is None else f" of {amount(outlook.cost_limit)}"
    ahead = f"at this rate {amount(outlook.projected_cost)}{limit} USD"
    days = Text(f"{ahead}, {counted(outlook.days_left, 'day')} left")
    return lines(summary(reply.stats), days, trended(reply.trends), _alerts(reply.alerts))


def _subscription(state: SubscriptionState | None) -> Text:
    if state is None:
        return Text("no subscription: the Free plan")
    ends = ", ends then" if state.cancel_at_period_end else ""
    renews = ", renews" if state.auto_renew and not ends and state.status == "active" else ""
    return Text(
        f"{state.plan} ({state.tier}), {state.billing_cycle}, {state.status}, "
        f"{instant(state.current_period_start)} to {instant(state.current_period_end)}"
        f"{ends}{renews}"
    )


def _alerts(alerts: tuple[AlertReply, ...]) -> RenderableType:
    shown = grid("at", "read", "title", "message", "id")
    for alert in alerts:
        read = "yes" if alert.is_read else ""
        texts = (cell(alert.title), cell(alert.message), cell(alert.id))
        shown.add_row(instant(alert.created_at), read, *texts)
    return shown
