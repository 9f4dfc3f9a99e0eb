"""Decide ``reset``: start the counters of the current period again."""

from __future__ import annotations

from typing import Final

from actors.billing.catalog.catalog import Catalog
from actors.billing.change import Change, Now
from actors.billing.effects import Effect, Persist, Reply
from actors.billing.periods.rollover import current_of
from actors.billing.state.account import Account
from messages.stored.events import (
    CountersReset,
)
from messages.usage import Reset, ResetReply


def reset(account: Account, ask: Reset, now: Now) -> Effect:
    """Start the counters of the current period again; nothing happens if all of them are zero."""
    current = account.current
    if current is not None and any(current.used):
        return Persist((CountersReset(billing_period=current.key, reason=ask.reason),))
    reply = ResetReply(
        reset=False,
        counters_reset=False,
        reason="no_summary",
        billing_period=current_of(account, now.at, now.catalog).key,
        event_id="",
        seq=0,
    )
    return Reply(reply, now.key)


def _reply(event: CountersReset, _: int) -> ResetReply:
    return ResetReply(
        reset=True,
        counters_reset=True,
        reason=None,
        billing_period=event.billing_period,
        event_id="",
        seq=0,
    )


def _same(ask: Reset, event: CountersReset, _: Catalog) -> bool:
    return ask.reason == event.reason


RESET: Final = Change(Reset, CountersReset, reset, _reply, same=_same)
