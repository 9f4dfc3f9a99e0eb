"""How many bytes a user's state takes, roughly and quickly: what memory is kept within.

It need not be exact. It must not be far below what a user can make it: so what has texts counts
with them, and what is shared by many users counts for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from actors.billing.state.account import Account, Period

LOOKED_AT: Final = 8
"""Closed periods; the others are taken for like them, but for the names in them: whoever sends them
chooses how long they are, and in which period."""
USER_BYTES: Final = 1_000
PERIOD_BYTES: Final = 600
ALERT_BYTES: Final = 2_000
"""With its title and its message."""
ENDED_BYTES: Final = 300
ENTRY_BYTES: Final = 100
"""Of a dict whose keys are short."""
TALLY_BYTES: Final = 1_000
"""Of what few periods count, with the dicts of the first names."""
EARLIER_BYTES: Final = 300
"""What a provider counted before a reset: its name, and three numbers."""
OVERRIDES_BYTES: Final = 5_000
"""Limits of one's own have a table of their own."""


def weight(account: Account) -> int:
    """The bytes of a user's state."""
    found = USER_BYTES + ALERT_BYTES * len(account.unread) + ENDED_BYTES * len(account.ended)
    found += ENTRY_BYTES * (len(account.months) + len(account.before))
    if account.current is not None:
        found += _of_period(account.current) + account.current.layout.weight
        found += _of_tallies((account.current,))
    if account.closed:
        newest = account.closed[-LOOKED_AT:]  # a user may have a thousand
        found += sum([_of_period(period) for period in newest]) * len(account.closed) // len(newest)
        found += sum([layout.weight for layout in {period.layout for period in account.closed}])
        found += _of_tallies(account.closed)
    if account.holds is not None:
        found += account.holds.weight
    subscription = account.subscription
    if subscription is not None and (subscription.overrides or subscription.hard_overrides):
        found += OVERRIDES_BYTES
    return found


def _of_period(period: Period) -> int:
    """Without its names, which other periods may share."""
    return (
        PERIOD_BYTES
        + 8 * len(period.used)
        + ENTRY_BYTES * (len(period.levels) + len(period.slept))
        + EARLIER_BYTES * len(period.earlier or ())
    )


def _of_tallies(periods: Sequence[Period]) -> int:
    """Of all of them: which period gets units is for whoever sends them, too."""
    tallies = [period.tally for period in periods if period.tally is not None]
    return sum([TALLY_BYTES + ENTRY_BYTES * tally.entries for tally in tallies])
