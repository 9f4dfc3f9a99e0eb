"""How a user's actor answers each read: from the live state, or with a detour to the log."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

from actors.billing.admission.decide import enforce
from actors.billing.admission.holds import entry_of, held_in_all, holds
from actors.billing.periods.calendar import GRACE
from actors.billing.periods.rollover import current_of
from actors.billing.periods.subscription import state_of
from actors.billing.reports import usage_log
from actors.billing.reports.alerts import alert_reply, alerts_reply, unread_alerts
from actors.billing.reports.stats import find_period, stats
from actors.billing.reports.trends import MONTHS, newest, projections, trends
from actors.billing.state.account import Period
from actors.billing.state.snapshot import period_of, totals_of
from actors.billing.wire import fast
from actors.persistent.in_turns import TURN, fitting_in_turns
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from actors.user.ledger import Handler, Ledger
from actors.user.log_reads import Reading
from messages.admission import Enforce, Holds, HoldsReply
from messages.reports import Alerts, Dashboard, DashboardReply, Logs, Stats, Trends
from messages.subscriptions import Subscription, SubscriptionReply

DASHBOARD_ALERTS: Final = 50
"""Unread alerts that a dashboard shows."""


def _enforce(ledger: Ledger, request: Request, ask: Enforce, at: int) -> None:
    account, context = ledger.account, ledger.context
    decision = enforce(account, ask, at, context.catalog, context.headrooms)
    ledger.respond(request, fast.enforced(decision, account.seq))


def _holds(ledger: Ledger, request: Request, _: Holds, at: int) -> Detour | None:
    account, bytes_max = ledger.account, ledger.context.page_bytes_max
    if account.held_count(at) <= TURN:
        ledger.answer(request, holds(account, at, bytes_max))
        return None
    # They go on changing while they are shown.
    open_now, held, seq = account.open_holds(at), held_in_all(account, at), account.seq
    flushed = ledger.context.writer.flushed()

    async def work() -> bool:
        shown: Any = tuple(await fitting_in_turns(map(entry_of, open_now), bytes_max))
        await flushed
        request.prepare(HoldsReply(holds=shown, held=held, seq=seq))
        request.durable()
        return False

    return _detour(work)


def _stats(ledger: Ledger, request: Request, ask: Stats, at: int) -> Detour | None:
    period = find_period(ledger.account, ask, at, ledger.context.catalog)
    if period is None:
        assert ask.billing_period is not None
        return _detour(partial(_reading(ledger).old_stats, request, ask.billing_period))
    ledger.answer(request, stats(ledger.account, period, at))
    return None


def _logs(ledger: Ledger, request: Request, ask: Logs, _: int) -> Detour:
    context = ledger.context
    wanted = usage_log.filter_of(ask, context.catalog)
    before, total = ledger.account.seq + 1, None
    if ask.cursor:
        before = usage_log.read_cursor(ask.cursor, wanted)
    else:
        total = usage_log.total_of(ledger.account, wanted)
    page = usage_log.Page(wanted, ask.limit or usage_log.PAGE, before, context.page_bytes_max)
    uncounted = not ask.cursor and total is None and wanted.only_period()
    where = usage_log.where_is(ledger.account, wanted.billing_period)
    read = _reading(ledger).page
    return _detour(partial(read, request, wanted, page, total, where=where, count_sealed=uncounted))


def _alerts(ledger: Ledger, request: Request, ask: Alerts, _: int) -> Detour | None:
    account = ledger.account
    unread = unread_alerts(account, ask.billing_period)
    if ask.unread_only or not account.seq:
        size = ledger.context.page_bytes_max
        reply = alerts_reply(account.user, ask, unread, unread, {}, account.seq, size)
        ledger.answer(request, reply)
        return None
    return _detour(partial(_reading(ledger).alerts, request, ask, unread))


def _trends(ledger: Ledger, request: Request, ask: Trends, at: int) -> Detour | None:
    account = ledger.account
    months = ask.months or MONTHS
    current = current_of(account, at, ledger.context.catalog)

    def reply(sealed: Sequence[Period], known: Sequence[Period], last: Period) -> object:
        return trends([*sealed, *known], last, months, account_seq)

    account_seq = account.seq
    return _with_periods(ledger, request, current, months, reply)


def _dashboard(ledger: Ledger, request: Request, _: Dashboard, at: int) -> Detour | None:
    account = ledger.account
    current = current_of(account, at, ledger.context.catalog)
    summary = stats(account, current, at)
    alerts = tuple(alert_reply(account.user, raised) for raised in unread_alerts(account, None))
    outlook, seq = projections(current, at), account.seq

    def reply(sealed: Sequence[Period], known: Sequence[Period], last: Period) -> object:
        return DashboardReply(
            stats=summary,
            trends=trends([*sealed, *known], last, MONTHS, seq),
            alerts=alerts[:DASHBOARD_ALERTS],
            projections=outlook,
            seq=seq,
        )

    return _with_periods(ledger, request, current, MONTHS, reply)


def _subscription(ledger: Ledger, request: Request, _: Subscription, at: int) -> Detour | None:
    account, seq = ledger.account, ledger.account.seq
    state = state_of(account.subscription, at, suspended=account.suspended)
    if state is None:
        ledger.answer(request, SubscriptionReply(subscription=None, history=(), seq=seq))
        return None
    reading = _reading(ledger)

    async def work() -> bool:
        history = await reading.renewals()
        request.prepare(SubscriptionReply(subscription=state, history=history, seq=seq))
        request.durable()
        return False

    return _detour(work)


def _with_periods(
    ledger: Ledger,
    request: Request,
    current: Period,
    months: int,
    reply: Callable[[Sequence[Period], Sequence[Period], Period], object],
) -> Detour | None:
    """Answer with the user's last periods: sealed ones from the log, if they are needed."""
    account = ledger.account
    # What left the state had ended a grace before; of periods that overlap it may begin later
    # than one that is still there.
    later = sum(period.start >= account.at - GRACE for period in account.closed)
    live = newest(account.closed, months)
    if not account.sealed or later + 1 >= months:
        ledger.answer(request, reply((), live, current))
        return None
    # The live ones go on counting while the others are read.
    known = [period_of(totals_of(period)) for period in live]
    last = period_of(totals_of(current))
    reading = _reading(ledger)

    async def work() -> bool:
        sealed = await reading.sealed(months)
        request.prepare(reply(sealed, known, last))
        request.durable()
        return False

    return _detour(work)


def _reading(ledger: Ledger) -> Reading:
    return Reading(ledger.context, ledger.account.user, ledger.account.seq)


def _detour(work: Callable[[], Coroutine[Any, Any, bool]]) -> Detour:
    return Detour(work, blocks=False)


QUERIES: Final[Mapping[type, Handler]] = {
    Enforce: _enforce,
    Holds: _holds,
    Stats: _stats,
    Trends: _trends,
    Logs: _logs,
    Alerts: _alerts,
    Subscription: _subscription,
    Dashboard: _dashboard,
}
