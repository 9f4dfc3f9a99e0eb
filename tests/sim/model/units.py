"""Units by the contract: which amounts are taken, and what calls have of them. In nano-units."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tests.sim.model.reference import Call, Refused

BUILT_IN: Final = {
    "seconds": 3,
    "characters": 0,
    "web_searches": 0,
    "file_searches": 0,
    "annotated_pages": 0,
}
"""The decimals of those that calls may name."""
PER_CALL: Final = 10**12

Row = dict[str, Any]
Amounts = dict[str, int]


def taken(own: Iterable[Row], said: Amounts, field: str) -> Amounts:
    """The amounts of a request, without those of nothing."""
    usable = dict(BUILT_IN)
    usable |= {unit["id"]: unit["scale"] for unit in own if not unit["archived"]}
    if not {*said} <= {*usable}:
        raise Refused("unknown_unit", field)
    for name, amount in said.items():
        assert amount % 10 ** (9 - usable[name]) == 0, (name, amount)
    return {name: amount for name, amount in said.items() if amount}


def sums(calls: Iterable[Call]) -> Amounts:
    """What calls have of each unit."""
    found: Amounts = {}
    for call in calls:
        for name, amount in call.units.items():
            found[name] = found.get(name, 0) + amount
    return found


def sums_by(calls: list[Call], by: str) -> dict[str, Amounts]:
    """As `sums`, by one of a call's names."""
    names = {getattr(call, by) for call in calls}
    return {name: sums(call for call in calls if getattr(call, by) == name) for name in names}


def estimates(calls: Iterable[Call]) -> tuple[int, int, int]:
    """Calls, tokens and cost of those that were priced by the estimate."""
    found = [call for call in calls if call.how == "estimate"]
    return len(found), sum(call.tokens for call in found), sum(call.cost for call in found)


def put(own: tuple[Row, ...], body: Row) -> tuple[Row, ...]:
    """One's own units after a put."""
    known = [unit for unit in own if unit["id"] == body["id"]]
    scale = body.get("scale", known[0]["scale"] if known else 0)
    if body["id"] in BUILT_IN:
        raise Refused("invalid_request", "id")
    if known and known[0]["scale"] != scale:
        raise Refused("invalid_request", "scale")
    fresh = {
        "id": body["id"],
        "name": body.get("name", body["id"]),
        "scale": scale,
        "max_per_call": body.get("max_per_call", PER_CALL),
        "builtin": False,
        "archived": False,
    }
    kept = tuple(fresh if unit["id"] == body["id"] else unit for unit in own)
    return kept if known else (*own, fresh)


def archive(own: tuple[Row, ...], body: Row) -> tuple[Row, ...]:
    """One's own units after one of them is archived."""
    if body["id"] not in {unit["id"] for unit in own}:
        raise Refused("unknown_unit", "id")
    return tuple(unit | {"archived": True} if unit["id"] == body["id"] else unit for unit in own)
