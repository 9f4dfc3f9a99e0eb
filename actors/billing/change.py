"""One record per changing verb: who decides it, what makes two the same, and its reply.

The records stand beside the rules, their table is `changes`. The shell knows no verb: it
looks up what the log has to say first, calls `decide`, and persists what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

from msgspec import Struct

from actors.billing.catalog.catalog import Catalog
from actors.billing.effects import Effect, Shown
from actors.billing.fingerprint import fingerprint
from actors.billing.state.account import Account
from actors.billing.state.headroom import Headrooms
from messages.stored.events import (
    Event,
)


class Now:
    """What a decision depends on, beside the state and the command.

    Attributes:
        at: when it is for the user, in microseconds; never before the newest event.
        key: the request's idempotency key; empty if it has none.
        catalog: prices and plans.
        headrooms: those that were asked for last.
        found: what a look-up in the log found, if the verb needs one: see `user.lookups`.
        ahead: how far `at` is ahead of the clock, in microseconds: callers go by the clock.
    """

    __slots__ = ("_change", "ahead", "at", "catalog", "found", "headrooms", "key")

    def __init__(
        self,
        change: Change,
        at: int,
        key: str,
        catalog: Catalog,
        headrooms: Headrooms,
        found: Collection[str] = (),
        ahead: int = 0,
    ) -> None:
        self.at = at
        self.ahead = ahead
        self.key = key
        self.catalog = catalog
        self.headrooms = headrooms
        self.found = found
        self._change = change

    def fingerprint(self, ask: Any) -> str:
        """The fingerprint of the request.

        Raises:
            InvalidRequest: an invalid amount of money.
        """
        change = self._change
        return fingerprint(change.command.__name__, change.parts(ask, self.catalog))


Decide: TypeAlias = Callable[[Account, Any, Now], Effect]
Parts: TypeAlias = Callable[[Any, Catalog], list[Any]]
Answer: TypeAlias = Callable[[Any, int], Struct | Shown | Event]
Same: TypeAlias = Callable[[Any, Any, Catalog], bool]


def _by_fields(_ask: Any, _catalog: Catalog) -> list[Any]:
    raise TypeError("this verb is compared field by field: its events keep no fingerprint")


@dataclass(frozen=True, slots=True)
class Change:
    """All that the rules know of a changing verb.

    Attributes:
        command: what asks for it.
        event: the kind of event that carries its key.
        decide: what it comes to. Raises `RequestError` if it is refused with an error.
        reply: the reply, from the stored event and when it took effect; its key, position and
            ``duplicate`` are filled in by `wire`. An event whose fields say all stands for itself.
        parts: all that a request asks for, defaults filled in: the source of its fingerprint.
        same: whether a request asks for what an event records; by default the fingerprints say.
    """

    command: type
    event: type[Event]
    decide: Decide
    reply: Answer
    parts: Parts = _by_fields
    same: Same | None = None

    def is_same(self, ask: Any, event: Event, catalog: Catalog) -> bool:
        """Whether a request with the key of an event asks for what it records.

        Raises:
            InvalidRequest: an invalid amount of money.
        """
        if not isinstance(event, self.event):
            return False
        if self.same is not None:
            return self.same(ask, event, catalog)
        content: str | None = getattr(event, "content", None)
        return content == fingerprint(self.command.__name__, self.parts(ask, catalog))
