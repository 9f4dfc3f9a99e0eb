"""Units: what calls can have amounts of, beside calls, tokens and cost. Contract 1.1, section 2.

Every unit adds. Amounts are nano-units inside, so the scale of a unit matters where one is sent,
and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from messages.dimensions import COUNT_FIELDS
from messages.errors import InvalidRequest, RequestError
from messages.quantities import SCALE_MAX, quantities_of, quantity
from messages.refusals import closest
from messages.stored.catalog import UnitArchived, UnitPut

OWN_MAX: Final = 64
"""Units of one's own. Those that are archived count: a name keeps its scale for ever."""
PER_CALL: Final = 10**12
"""The most of its smallest parts that a unit allows a call, unless it says otherwise."""
_TOKENS: Final = "tokens_"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit.

    Attributes:
        scale: how many decimals an amount may have.
        max_per_call: in its smallest parts; None for what has a field of its own in requests.
    """

    id: str
    name: str
    scale: int = 0
    max_per_call: int | None = PER_CALL
    builtin: bool = False
    archived: bool = False


_WITH_FIELD: Final = ("calls", "tokens", "cost", "concurrency", *COUNT_FIELDS)
_SCALES: Final = {"cost": 9, "seconds": 3}
_WITHOUT_FIELD: Final = (
    *("seconds", "characters", "web_searches", "file_searches", "annotated_pages"),
)
BUILT_IN: Final = (
    *(Unit(name, name, _SCALES.get(name, 0), None, builtin=True) for name in _WITH_FIELD),
    *(Unit(name, name, _SCALES.get(name, 0), builtin=True) for name in _WITHOUT_FIELD),
)


class Units:
    """The units by id: those that are built in, then one's own in the order of their first put."""

    def __init__(self) -> None:
        self._by_id = {unit.id: unit for unit in BUILT_IN}

    @property
    def all(self) -> tuple[Unit, ...]:
        """All units, archived ones too."""
        return tuple(self._by_id.values())

    @property
    def own(self) -> int:
        """How many are not built in, archived ones too."""
        return len(self._by_id) - len(BUILT_IN)

    def get(self, name: str) -> Unit | None:
        """The unit of an id, also if it is archived."""
        return self._by_id.get(name)

    def find(self, name: str, field: str) -> Unit:
        """The unit of an id that calls and prices may use.

        Raises:
            RequestError: ``unknown_unit``: there is none, or it is archived; ``invalid_request``:
                it has a field of its own.
        """
        if has_field(name):
            raise InvalidRequest(f"{name} is not sent in {field}: it has a field of its own", field)
        unit = self._by_id.get(name)
        if unit is None or unit.archived:
            what = "is archived" if unit is not None else "is not known"
            usable = [x.id for x in self._by_id.values() if not x.archived and not has_field(x.id)]
            similar = closest(name, usable)
            raise RequestError("unknown_unit", f"the unit {name!r} {what}{similar}", field=field)
        return unit

    def take(self, event: UnitPut | UnitArchived) -> None:
        """Let a stored change take effect."""
        self._by_id[event.id] = unit_of(event)


def unit_of(event: UnitPut | UnitArchived) -> Unit:
    """The unit after a stored change."""
    archived = isinstance(event, UnitArchived)
    return Unit(event.id, event.name, event.scale, event.max_per_call, archived=archived)


def has_field(name: str) -> bool:
    """Whether requests have a field for what a unit of this name would count."""
    return name in _WITH_FIELD or name.startswith(_TOKENS)


def units_of(
    said: Mapping[str, msgspec.Raw] | None, field: str, units: Units
) -> dict[str, int] | None:
    """The nano-units of a call by unit, in the order of the names; None if all are 0 or absent.

    Args:
        said: as it was sent.
        field: where, for the errors.
        units: those that there are.

    Raises:
        RequestError: ``unknown_unit``; ``invalid_request``: not a number, negative, with more
            decimals than the unit has, over what it allows a call, or it has a field of its own.
    """
    if not said:
        return None
    known = {name: units.find(name, field) for name in said}
    amounts = quantities_of(said, field)
    for name, nano in amounts.items():
        unit = known[name]
        part: int = 10 ** (SCALE_MAX - unit.scale)
        if nano % part:
            decimals = f"at most {unit.scale} decimals" if unit.scale else "no decimals"
            raise InvalidRequest(f"{field}: {name} has {decimals}", field)
        if unit.max_per_call is not None and nano > unit.max_per_call * part:
            most = quantity(unit.max_per_call * part)
            raise InvalidRequest(f"{field}: {name} must not be over {most} in one call", field)
    return amounts or None
