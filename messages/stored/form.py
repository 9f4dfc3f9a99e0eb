"""What a journal is told of the rows that it keeps: how common each kind is, and its views.

A journal gets this when it is opened, and knows no kind by itself. It is told by kind and not
by row: a query by kind has no row in hand, and nothing more is stored or done for each row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from .view import USAGE, View


class Storage(Enum):
    """How the rows of a kind are kept.

    Attributes:
        COMMON: nearly every row is of such a kind. It is found by user and position, costs a
            commit nothing beyond the row, and its body moves into an archive when it is old.
        RARE: found by user and kind too, by an index that each such row is put into; its body
            stays in the log. So is a kind that the journal is not told of.
    """

    COMMON = auto()
    RARE = auto()


STORAGE: Final[dict[str, Storage]] = {
    "usage": Storage.COMMON,
    "hold": Storage.COMMON,
    "hold_extended": Storage.COMMON,
    "hold_released": Storage.COMMON,
    "preflight": Storage.RARE,
    "period_rolled": Storage.RARE,
    "period_closed": Storage.RARE,
    "period_added": Storage.RARE,
    "period_sealed": Storage.RARE,
    "reset": Storage.RARE,
    "alerts_read": Storage.RARE,
    "subscribed": Storage.RARE,
    "subscription_changed": Storage.RARE,
    "plan": Storage.RARE,
    "price": Storage.RARE,
    "price_cancelled": Storage.RARE,
    "unit": Storage.RARE,
    "unit_archived": Storage.RARE,
    "provider": Storage.RARE,
    "provider_archived": Storage.RARE,
}
"""Every kind, the most common ones first: a journal asks of each row in this order.

A new kind may be either. One that has rows should stay what it is: if a common one becomes rare,
the index is made anew from the whole log once."""


class Span(NamedTuple):
    """Rows that open something which ends at a moment, so that a journal finds what is over.

    A row of the same kind ends what the user's row before it opened, and opens the next.

    Attributes:
        opens: the kind of these rows; it is rare.
        name: where their body says which one they open, as a JSON path.
        end: the field that says when that ends, in microseconds since the epoch, at the top of the
            body.
        closes: the kind of rows that close one; it is rare.
        closed: where the body of such a row has the name.
        fills: the kind of rows without which nothing is to be closed.
    """

    opens: str
    name: str
    end: str
    closes: str
    closed: str
    fills: str


PERIODS: Final = Span(
    "period_rolled", "$.key", "end", closes="period_closed", closed="$.totals.key", fills="usage"
)
"""Billing periods: one that is over and has usage is closed by a row, or by the next one."""


class Ending(NamedTuple):
    """Rows that end what another row of their user began, which they name by that row's key.

    At most one row ends it. Others may name it too, any number of times.

    Attributes:
        named: the field of a body that names it, at the top of the body.
        ends: the kind of rows each of which ends one; it is common.
        may_end: the kind of rows that end one if their body says so; it is common.
        says: the fields in which it does, the older one behind: the first that is there counts.
        ended: what it says then.
    """

    named: str
    ends: str
    may_end: str
    says: tuple[str, ...]
    ended: str

    def key_of(self, kind: str, body: str) -> str | None:
        """The key of the row that began what a row ends, None if it ends nothing."""
        if kind not in {self.ends, self.may_end} or f'"{self.named}":' not in body:
            return None
        try:
            key, *all_said = reader_of((self.named, *self.says))(body)
        except ValueError:  # a damaged body, which whoever reads it is told of
            return None
        said = next((one for one in all_said if one is not msgspec.UNSET), None)
        ends = kind == self.ends or said == self.ended
        return key if ends and isinstance(key, str) else None


@cache  # one, or two
def reader_of(names: tuple[str, ...]) -> Callable[[str], tuple[Any, ...]]:
    """Takes the fields of these names out of a body, `msgspec.UNSET` for one that is not there.

    What it gives back raises `ValueError` if a body is no object of JSON.
    """
    fields: list[tuple[str, Any, Any]] = [(name, object, msgspec.UNSET) for name in names]
    read = msgspec.json.Decoder(msgspec.defstruct("Said", fields)).decode
    return lambda body: msgspec.structs.astuple(read(body))


def said(body: str, path: str) -> Any:
    """What a body has at a path of names, as ``$.totals.key``; None if it has nothing there.

    A damaged body has nothing anywhere: whoever reads it is told of it.
    """
    try:
        found: Any = json.loads(body)
        for name in path.removeprefix("$.").split("."):
            found = found[name]
    except (ValueError, KeyError, TypeError):
        return None
    return found


HOLDS: Final = Ending(
    "hold_id",
    ends="hold_released",
    may_end="usage",
    says=("hs", "hold_status"),
    ended="settled",
)
"""Holds: one ends by its release, or by the call that settles it; else it expires by itself."""


class Form(NamedTuple):
    """What a journal is told when it is opened.

    Attributes:
        storage: how the rows of each kind are kept, the most common kinds first; one is common.
        views: what people see of some kinds.
        span: the rows that open something which ends.
        ending: the rows that end what another row began.
    """

    storage: Mapping[str, Storage]
    views: tuple[View, ...]
    span: Span = PERIODS
    ending: Ending = HOLDS

    def common(self) -> tuple[str, ...]:
        """The common kinds, in order."""
        return tuple(kind for kind, how in self.storage.items() if how is Storage.COMMON)


FORM: Final = Form(STORAGE, (USAGE,), PERIODS, HOLDS)
"""Of the log of meterd."""
