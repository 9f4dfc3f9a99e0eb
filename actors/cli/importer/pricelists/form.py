"""Rows that say the same, however they are written."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from actors.cli.importer.pricelists.rows import GROUPS, PRICES


def canonical(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A row's fields in the one form in which equal rows are equal.

    A number has one form, a price per block is its fraction, absent and null and empty are one,
    parts and aliases have no order.
    """
    form: dict[str, Any] = {}
    for name in PRICES:
        if fields.get(name) is not None:
            form[name] = Fraction(fields[name])
    for name in ("token_parts", "multipliers", "units"):
        if group := fields.get(name):
            form[name] = {one: _amount(value) for one, value in group.items()}
    if tiers := fields.get("tiers"):
        form["tiers"] = [
            {"above_input_tokens": int(tier["above_input_tokens"]), **canonical(tier)}
            for tier in tiers
        ]
    if aliases := fields.get("aliases"):
        form["aliases"] = sorted(aliases)
    return form


def fields_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row as the service lists it."""
    names = (*PRICES, *GROUPS, "multipliers", "aliases")
    return {name: entry[name] for name in names if entry.get(name) not in (None, [], {}, ())}


def _amount(value: Any) -> Fraction:
    if isinstance(value, Mapping):
        return Fraction(Decimal(value["usd"])) / int(value["per"])
    return Fraction(Decimal(value))
