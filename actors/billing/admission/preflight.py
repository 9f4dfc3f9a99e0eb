"""Decide ``preflight``: may all of these calls be made, and hold each of them if asked to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from actors.billing.admission.decide import WITHIN, WITHIN_MESSAGE, Decision, judge, resolve
from actors.billing.admission.holds import TTL_S, call_parts, full, placed_by
from actors.billing.catalog.catalog import Catalog
from actors.billing.change import Change, Now
from actors.billing.counters.slots import add
from actors.billing.effects import Effect, Persist, Reply, Shown
from actors.billing.fingerprint import fingerprint
from actors.billing.periods.rollover import current_or_opened
from actors.billing.state.account import Account
from actors.billing.state.headroom import Headroom
from messages.admission import Preflight
from messages.errors import InvalidRequest
from messages.stored.events import (
    Event,
    HoldPlaced,
    PreflightHeld,
)
from messages.units import MICROS_PER_SECOND


class PreflightDecision(Shown):
    """The decisions on the operations of a ``preflight``, up to and with the first refused.

    Attributes:
        reason, message: of the first that was refused, else that all are within the limits.
        failed: its index, None if none was refused.
        operations: the type that the caller gave each operation, and the decision on it.
    """

    __slots__ = ("failed", "message", "operations", "reason")

    def __init__(
        self,
        reason: str,
        message: str,
        failed: int | None,
        operations: list[tuple[str | None, Decision]],
    ) -> None:
        self.reason = reason
        self.message = message
        self.failed = failed
        self.operations = operations


def preflight(account: Account, ask: Preflight, now: Now) -> Effect:
    """Judge operations one after the other, each on top of those before it: all or none.

    With a ``hold`` each gets its own; its key, and so its id, is ``<key>.<i>``.

    Raises:
        RequestError: ``unknown_provider`` or ``invalid_request``.
    """
    at, catalog = now.at, now.catalog
    period, opened = current_or_opened(account, at, catalog)
    used, layout = list(period.used), period.layout
    open_now = 0 if ask.hold is None else account.held_count(at)
    expires_at = None if ask.hold is None else at + (ask.hold.ttl or TTL_S) * MICROS_PER_SECOND
    placed: list[HoldPlaced] = []
    operations: list[tuple[str | None, Decision]] = []
    content = now.fingerprint(ask)
    for index, operation in enumerate(ask.operations):
        if operation.deadline is not None:
            raise InvalidRequest("a preflight has one deadline, at its top", "operations")
        call = resolve(operation, at, catalog)
        limits = period.table.touched(call.touch)
        headroom = Headroom(limits, used, layout, account.held(at), period.end)
        decision = judge(account, period, call, at, headroom)
        if expires_at is not None:
            decision = full(decision, period, open_now + index)
            key = f"{now.key}.{index}"
            placed.append(placed_by(key, decision, period, expires_at, content))
        operations.append((operation.operation_type, decision))
        if not decision.allowed:
            reason, message = decision.reason, decision.message
            shown = PreflightDecision(reason, message, index, operations)
            return Reply(shown, now.key or None)
        layout = add(used, layout, call.touch, call.amounts)
    if ask.hold is None:
        return Reply(PreflightDecision(WITHIN, WITHIN_MESSAGE, None, operations), None)
    held = PreflightHeld(
        operations=tuple(placed),
        types=tuple(operation.operation_type for operation in ask.operations),
        content=content,
    )
    events: tuple[Event, ...] = (*opened, *placed, held)
    return Persist(events, keys=(*(None for _ in opened), *(hold.hold_id for hold in placed)))


def _parts(
    ask: Preflight, catalog: Catalog, then: Sequence[HoldPlaced | None] | None = None
) -> list[Any]:
    placed = [None] * len(ask.operations) if then is None else then
    operations = [
        [*call_parts(operation, catalog, hold), operation.operation_type]
        for operation, hold in zip(ask.operations, placed, strict=True)
    ]
    return [operations, ask.hold and (ask.hold.ttl or TTL_S)]


def _same(ask: Preflight, event: PreflightHeld, catalog: Catalog) -> bool:
    if len(ask.operations) != len(event.operations):
        return False
    parts = _parts(ask, catalog, event.operations)
    return event.content == fingerprint(Preflight.__name__, parts)


PREFLIGHT: Final = Change(
    Preflight, PreflightHeld, preflight, lambda event, _: event, _parts, _same
)
