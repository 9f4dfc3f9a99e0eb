"""Thresholds: where a limit stands, and the alerts that an event raises.

Each threshold of each limit fires once per period and arming (contract, section 3,
"alerts"). Everything is judged on exact integers.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from actors.billing.counters.layout import Layout
from actors.billing.counters.layouts import UNITS
from actors.billing.counters.slots import COST, Slots
from actors.billing.limits.limits import THRESHOLDS, Limit, LimitTable
from messages.stored.events import (
    Alert,
)
from messages.units import NANO_PER_USD

_SEVERITY: Final = {80: "info", 90: "warning", 100: "error"}


def level_of(used: int, value: int) -> int:
    """The highest threshold that ``used`` of a limit has reached, 0 below the first."""
    percent = used * 100
    if percent < 80 * value:
        return 0
    if percent < 90 * value:
        return 80
    return 90 if percent < 100 * value else 100


def level_of_all(used: Slots, layout: Layout, table: LimitTable) -> int:
    """The highest threshold that any limit in force has reached; disabled ones do not count."""
    levels = (level_of(x.of(used, layout), x.value) for x in table.limits if not x.disabled)
    return max(levels, default=0)


def raised_by(
    crossings: list[tuple[Limit, int, int]], *, user: str, period: str, arming: str
) -> tuple[Alert, ...]:
    """The alerts of one event, the highest threshold last.

    Args:
        crossings: (limit, level before, usage after) of each limit that rose a level.
        user: the user id.
        period: the billing period's key.
        arming: what makes the ids of this arming differ from those of every other one.
    """
    return tuple(
        _alert(limit, threshold, used, user, period, arming)
        for threshold in THRESHOLDS
        for limit, before, used in crossings
        if before < threshold <= level_of(used, limit.value)
    )


def _alert(limit: Limit, threshold: int, used: int, user: str, period: str, arming: str) -> Alert:
    label = limit.name.replace("_", " ")
    unit = "USD" if limit.unit == COST else UNITS[limit.unit]
    amounts = f"{_shown(used, limit.unit)} of {_shown(limit.value, limit.unit)} {unit}"
    if threshold == 100:
        title = f"Limit reached: {label}"
        message = f"{limit.name} is used up in {period}: {amounts}."
    else:
        title = f"{threshold}% used: {label}"
        message = f"{limit.name} has reached {threshold}% in {period}: {amounts}."
    source = "\0".join((user, period, limit.name, str(threshold), arming))
    return Alert(
        id=blake2b(source.encode(), digest_size=12).hexdigest(),
        type="limit_reached" if threshold == 100 else "usage_warning",
        threshold_percentage=threshold,
        severity=_SEVERITY[threshold],
        limit_name=limit.name,
        unit=UNITS[limit.unit],
        provider=limit.provider,
        title=title,
        message=message,
        used=used,
        limit=limit.value,
        billing_period=period,
    )


def _shown(amount: int, unit: int) -> str:
    if unit != COST:
        return f"{amount:,}"
    dollars, rest = divmod(amount, NANO_PER_USD)
    return f"{dollars:,}.{rest:09d}".rstrip("0").rstrip(".")
