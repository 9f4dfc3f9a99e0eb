"""The invariants of the design, by name: what is violated says which of them it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum


class Invariant(Enum):
    """The ten of the design, and what the contract says of alerts and events."""

    DURABLE_FIRST = "1, no reply before durable"
    FOR_EVER = "2, acked is for ever"
    REPLAY = "3, replay equals live"
    IN_ORDER = "4, in order, without locks"
    ADDS_UP = "5, remaining = limit + grants - used - held"
    ONE_ANSWER = "6, exactly one answer"
    ONCE = "7, exactly once effect"
    BOUNDED = "8, everything is bounded"
    EXACT_MONEY = "9, exact money"
    NO_FUTURE = "10, no snapshot of the future"
    RECOVERS = "a service recovers: what is repeated is answered in the end"
    ALERTS = "alerts: at least once, with one id"
    CLOSED = "a period that is over and has usage is announced once, then adjusted"
    CONTRACT = "the contract: an answer that the rules do not give"


class Violated(AssertionError):
    """What must hold does not."""

    def __init__(self, invariant: Invariant, what: object) -> None:
        super().__init__(f"invariant {invariant.value}: {what}")
        self.invariant = invariant


@contextmanager
def judging(invariant: Invariant) -> Iterator[None]:
    """What is asserted in here is this invariant."""
    try:
        yield
    except Violated:
        raise
    except AssertionError as error:
        raise Violated(invariant, error) from error
