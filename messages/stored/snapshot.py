"""The form of a snapshot: what msgspec decodes is not compiled."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from .detail import HoldDetail
from .events import Alert, PeriodTotals, StoredSubscription

Plain = tuple[str, str, str, str, tuple[int, int, int], bool, int, int]
"""The fields of an `OpenHold` but for its detail."""


class StoredPeriod(Struct, omit_defaults=True):
    """A period that is current or within the grace."""

    totals: PeriodTotals
    levels: dict[str, int] = {}
    announced: bool = False


class State(Struct, omit_defaults=True):
    """The fields of an `Account`; ``details`` are those of holds, by their ids."""

    seq: int
    at: int
    current: StoredPeriod | None = None
    closed: list[StoredPeriod] = []
    months: dict[str, int] = {}
    before: dict[str, int] = {}
    unread: list[tuple[Alert, int, int]] = []
    sealed: int = 0
    subscription: StoredSubscription | None = None
    suspended: bool = False
    holds: list[Plain] = []
    details: dict[str, HoldDetail] = {}


ENCODER: Final = msgspec.json.Encoder()
DECODER: Final = msgspec.json.Decoder(State)
