"""What of a user's usage and holds counts against a limit, by the limit's name.

The reply to `stats` has limits and breakdowns, which are of the same counters.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from actors.billing.catalog.catalog import TEXT_CALLS, WAVESPEED_CALLS
from actors.billing.catalog.providers import NAMES, TEXT_PROVIDERS, WAVESPEED
from actors.billing.counters.layouts import OTHER
from messages.admission import HoldEntry, HoldsReply, Number
from messages.reports import StatsReply

_ALL_COST: Final = "monthly_cost"


def used_of(name: str, reply: StatsReply) -> Number:
    """What is used of a limit: calls, tokens or USD."""
    if name == _ALL_COST:
        return reply.total_cost
    provider, _, unit = name.rpartition("_")
    shown = reply.provider_breakdown
    if name == WAVESPEED_CALLS:  # of calls that name it or were served by it
        return _by_percentage(name, reply)
    if name == TEXT_CALLS:
        if not shown.keys() <= {*NAMES}:  # of others no reply says whether they are of the group
            return _by_percentage(name, reply)
        parts = [shown.get(each) for each in TEXT_PROVIDERS]
    elif provider not in shown and OTHER in shown:
        return _by_percentage(name, reply)
    else:
        parts = [shown.get(provider)]
    return sum((getattr(part, unit) for part in parts if part is not None), start=Decimal(0))


def _by_percentage(name: str, reply: StatsReply) -> Number:
    """What is used of a limit that no breakdown has.

    The percentage, with its 4 decimals, tells counts apart up to a limit of a million.
    """
    limit = Decimal(reply.limits.limits[name])
    used = Decimal(str(reply.usage_percentages[name])) * limit / 100
    return used if name.endswith("_cost") else round(used)


def held_of(name: str, holds: HoldsReply | None, reply: StatsReply) -> Number | None:
    """What open holds set aside of a limit; None if that is not known."""
    if name == _ALL_COST or not reply.held.open:
        return reply.held.cost if name == _ALL_COST else 0
    if holds is None:
        return None
    if name == TEXT_CALLS and any(hold.provider not in NAMES for hold in holds.holds):
        return None
    unit = name.rpartition("_")[2]
    found = (getattr(hold, unit) for hold in holds.holds if _counts(name, hold))
    return sum(found, start=Decimal(0))


def _counts(name: str, hold: HoldEntry) -> bool:
    if name == TEXT_CALLS:
        return hold.provider in TEXT_PROVIDERS
    if name == WAVESPEED_CALLS:
        return WAVESPEED in (hold.provider, hold.actual_provider_name)
    return hold.provider == name.rpartition("_")[0]
