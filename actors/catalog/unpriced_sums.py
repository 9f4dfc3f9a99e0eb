"""What calls of models without a price come to, by model: contract 1.1, section 4. Pure.

Memory is bounded: by the number of models, and by the number of their users who are told apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from actors.billing.catalog.price_list import UNDATED
from actors.billing.usage.detail import found_of
from messages.codec import detail_mark, usage_marks
from messages.prices import (
    UnpricedEntry,
)
from messages.stored.events import UsageRecorded
from messages.units import to_datetime, usd

ESTIMATE: Final = "estimate"
MARKS: Final = (*usage_marks("priced", ESTIMATE), detail_mark("matched_by", UNDATED))
"""One of these is in each call that is listed, and in few others."""
MODELS_MAX: Final = 10_000
"""Rows of a list: 15 MB, if their names are as long as they may be."""
USERS_MAX: Final = 250_000
"""Users who are told apart, each once for each model: 20 MB. A number of 64 bits stands for each,
so that two are taken for one in a list of so many with a chance of one in 500 million."""

LUMP: Final = 256
"""Models that are put in order before others have a turn."""


class Model(NamedTuple):
    """Whose calls are summed up together."""

    provider: str
    model: str
    variant: str
    how: str


Place = tuple[int, Model]
"""What models are in order of: their calls, negative, then their names."""


class _Sum:
    """What the calls of one model come to."""

    __slots__ = ("calls", "cost_nano", "first", "last", "tokens", "users", "users_capped")

    def __init__(self, at: int) -> None:
        self.calls = 0
        self.tokens = 0
        self.cost_nano = 0
        self.users = 0
        self.users_capped = False
        self.first = self.last = at


def how_of(event: UsageRecorded) -> str | None:
    """Why a call is listed, None if it is not.

    One whose caller knew the cost was not charged the estimate.
    """
    if event.priced == ESTIMATE:
        return ESTIMATE
    return UNDATED if found_of(event)[1] == UNDATED else None


class Sums:
    """Sums of calls, which may come in any order.

    Args:
        since: calls before this moment are left out; None takes all.
        models_max: how many models there may be.
        users_max: how many users are told apart.
    """

    def __init__(
        self, since: int | None, models_max: int = MODELS_MAX, users_max: int = USERS_MAX
    ) -> None:
        self._since = since
        self._models_max = models_max
        self._users_max = users_max
        self._sums: dict[Model, _Sum] = {}
        self._users = set[int]()

    def take(self, event: UsageRecorded, user: str, at: int) -> bool:
        """Add a call, if it is one to be listed.

        Args:
            event: the call.
            user: whose it is.
            at: when it arrived.

        Returns:
            Whether there was room for it; if not, nothing has changed.

        Raises:
            ArithmeticError: it says a moment that cannot be told, as no call does.
        """
        how = how_of(event)
        moment = at if event.timestamp is None else min(event.timestamp, at)
        if how is None or (self._since is not None and moment < self._since):
            return True
        variant = event.detail.price_variant if event.detail else None
        model = Model(event.provider, event.model, variant or "", how)
        found = self._sums.get(model)
        if found is None:
            if len(self._sums) >= self._models_max:
                return False
            to_datetime(moment)
            found = self._sums[model] = _Sum(moment)
        elif not found.first <= moment <= found.last:
            to_datetime(moment)
            found.first, found.last = min(found.first, moment), max(found.last, moment)
        found.calls += 1
        found.tokens += event.tokens_input + event.tokens_output
        found.cost_nano += event.cost_nano
        self._count(found, hash((model, user)))
        return True

    def _count(self, found: _Sum, user: int) -> None:
        if user in self._users:
            return
        if len(self._users) >= self._users_max:
            found.users_capped = True
            return
        self._users.add(user)
        found.users += 1

    def __len__(self) -> int:
        return len(self._sums)

    def lumps(self) -> Iterator[list[Place]]:
        """All models, some at a time; those of a lump are in order, and lumps can be merged."""
        models = [*self._sums]
        for begin in range(0, len(models), LUMP):
            some = models[begin : begin + LUMP]
            yield sorted((-self._sums[model].calls, model) for model in some)

    def entry(self, model: Model) -> UnpricedEntry:
        """What a reply shows of a model."""
        found = self._sums[model]
        return UnpricedEntry(
            **model._asdict(),
            calls=found.calls,
            tokens=found.tokens,
            cost=usd(found.cost_nano),
            users=found.users,
            users_capped=found.users_capped,
            first_seen=to_datetime(found.first),
            last_seen=to_datetime(found.last),
        )
