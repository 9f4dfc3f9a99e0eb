"""The invoice of a period: lines per provider, model and unit, whose amounts come to its cost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any, Final, NamedTuple

from actors.cli.exporter.split import ESTIMATED, Part, amounts_of, nano_of, split, whole
from actors.cli.importer.errors import BadInput
from messages.prices import (
    PriceEntry,
)
from messages.reports import LogEntry
from messages.units import PICO_PER_NANO, PRICE_DECIMALS_MAX, usd

_EXACT: Final = Context(prec=60, traps=[InvalidOperation, Inexact])
LINES_MAX: Final = 100_000
PRICES_MAX: Final = 10_000
"""Models whose prices are known at a time."""
COLUMNS: Final = (
    *("user", "billing_period", "provider", "model", "unit", "priced", "calls"),
    *("quantity", "unit_price", "amount", "rounding"),
)

FindPrices = Callable[[str, str], Awaitable[tuple[PriceEntry, ...]]]
"""All rows of a provider and model, oldest first."""


class _Of(NamedTuple):
    """What a line is about."""

    provider: str
    model: str
    unit: str
    priced: str
    pico: int | None


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    quantity: int = 0
    nano: int = 0


class Invoice:
    """Collects the calls of one period.

    Args:
        user: whose it is.
        period: its key.
        find: finds prices.

    Attributes:
        calls: how many there were.
        nano: their charges in nano-USD.
    """

    def __init__(self, user: str, period: str, find: FindPrices) -> None:
        self.calls = 0
        self.nano = 0
        self._user = user
        self._period = period
        self._find = find
        self._prices: dict[tuple[str, str], tuple[PriceEntry, ...]] = {}
        self._sums: dict[_Of, _Sum] = {}

    async def add(self, entry: LogEntry) -> None:
        """Add a call.

        Raises:
            BadInput: there are too many lines.
        """
        self.calls += 1
        self.nano += nano_of(entry)
        for part in await self._parts(entry):
            of = _Of(entry.provider, entry.model_used, part.unit, entry.priced, part.pico)
            line = self._sums.get(of)
            if line is None:
                if len(self._sums) == LINES_MAX:
                    raise BadInput(f"the invoice has over {LINES_MAX:,} lines: export the usage")
                line = self._sums[of] = _Sum()
            line.calls += 1
            line.quantity += part.quantity
            line.nano += part.nano

    def lines(self) -> Iterator[dict[str, Any]]:
        """The lines by provider, model and unit, with the fields of `COLUMNS`.

        ``amount`` is the sum of what the charges, each rounded to 1e-9 USD, have of the unit;
        ``rounding`` is by how much that differs from quantity times unit price.
        """
        for of in sorted(self._sums, key=lambda of: (*of[:4], of.pico or 0)):
            line = self._sums[of]
            exact = None if of.pico is None else of.pico * line.quantity
            pico = line.nano * PICO_PER_NANO
            values = (
                *(self._user, self._period, of.provider, of.model, of.unit, of.priced),
                *(line.calls, line.quantity, None if of.pico is None else usd_of_pico(of.pico)),
                *(usd(line.nano), None if exact is None else usd_of_pico(pico - exact)),
            )
            yield dict(zip(COLUMNS, values, strict=True))

    async def _parts(self, entry: LogEntry) -> list[Part]:
        if entry.priced == "caller":
            return whole(entry)
        if entry.priced == "estimate":
            return split(entry, ESTIMATED) or whole(entry)
        model, variant = entry.price_model, entry.price_variant if entry.variant_priced else ""
        if model is None:
            return whole(entry)
        # The price valid at the call's time; one that lies ahead counts as the arrival.
        moment = min(entry.timestamp, entry.logged_at)
        for row in reversed(await self._rows(entry.provider, model)):
            if row.variant == variant and row.effective_from <= moment:
                # What else the charge has (multipliers, units, parts of tokens) is not taken apart.
                parts = split(entry, amounts_of(row, entry.tier))
                if parts is not None:
                    return parts or whole(entry)
        return whole(entry)

    async def _rows(self, provider: str, model: str) -> tuple[PriceEntry, ...]:
        found = self._prices.get((provider, model))
        if found is None:
            if len(self._prices) == PRICES_MAX:
                self._prices.clear()
            found = self._prices[provider, model] = await self._find(provider, model)
        return found


def usd_of_pico(pico: int) -> Decimal:
    """Pico-USD as an exact decimal of USD; may be below 0."""
    return Decimal(pico).scaleb(-PRICE_DECIMALS_MAX, _EXACT)
