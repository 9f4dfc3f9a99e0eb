"""Prices of genai-prices as fields of a row."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from actors.cli.importer.pricelists.amounts import block, price, times
from actors.cli.importer.pricelists.rows import TIERS_MAX, PriceList

_MILLION: Final = 6
_THOUSAND: Final = 3
_HOUR: Final = 3_600
_RECENT: Final = 50
_TOKENS: Final = {
    "input_mtok": "cost_per_input_token",
    "output_mtok": "cost_per_output_token",
    "cache_read_mtok": "cost_per_cache_read_token",
    "cache_write_mtok": "cost_per_cache_write_token",
    "output_reasoning_mtok": "cost_per_reasoning_token",
}
_PARTS: Final = {
    "cache_write_1h_mtok": "cache_write_long",
    "input_audio_mtok": "input_audio",
    "input_image_mtok": "input_image",
    "input_video_mtok": "input_video",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "output_video_mtok": "output_video",
    "cache_audio_read_mtok": "cache_read_audio",
    "cache_image_read_mtok": "cache_read_image",
}
_EACH: Final = {  # of a thousand
    "requests_kcount": "cost_per_request",
    "input_document_kpages": "cost_per_page",
    "rerank_searches_kcount": "cost_per_search",
}
_UNITS: Final = {  # how many the price is of
    "web_searches_kcount": ("web_searches", 1_000),
    "storage_searches_kcount": ("file_searches", 1_000),
    "input_annotated_document_kpages": ("annotated_pages", 1_000),
    "input_mchars": ("characters", 1_000_000),
    "audio_hours": ("seconds", _HOUR),
    "input_audio_hours": ("seconds", _HOUR),
    "output_audio_hours": ("seconds", _HOUR),
}


def fields_of_prices(
    found: PriceList, provider: str, model: str, prices: dict[str, Any]
) -> dict[str, Any]:
    """The fields of a row; what it cannot say exactly is named.

    Args:
        found: where what is not taken is named.
        provider: our provider.
        model: the model.
        prices: by the package's names, none of them None; a Decimal or prices with tiers.
    """
    taker = _Taker(found, provider, model)
    for name, value in prices.items():
        taker.take(name, value)
    return taker.row()


class _Taker:
    def __init__(self, found: PriceList, provider: str, model: str) -> None:
        self._found = found
        self._at = (provider, model)
        self._fields: dict[str, Any] = {}
        self._parts: dict[str, Decimal] = {}
        self._units: dict[str, Any] = {}
        self._tiered: dict[str, list[tuple[int, Decimal]]] = {}

    def take(self, name: str, value: Any) -> None:
        """A price of the package."""
        try:
            if name in _TOKENS or name in _PARTS:
                self._take_tokens(name, value)
            elif name in _EACH:
                self._fields[_EACH[name]] = self._scaled(name, value, _THOUSAND)
            elif name in _UNITS:
                unit, per = _UNITS[name]
                amount = block(self._scaled(name, value, 0), per)
                if self._units.setdefault(unit, amount) != amount:
                    self._leave(name)  # seconds of two kinds
            else:
                self._leave(name)
        except ValueError:
            self._leave(name)

    def _take_tokens(self, name: str, value: Any) -> None:
        base = value if isinstance(value, Decimal) else value.base
        base = self._scaled(name, base, _MILLION)
        tiers = []
        if not isinstance(value, Decimal):
            try:
                tiers = [(int(t.start), self._scaled(name, t.price, _MILLION)) for t in value.tiers]
            except (AttributeError, ValueError):
                self._leave(f"{name}: tiers")
        ours = _TOKENS.get(name)
        if ours is not None:
            self._fields[ours] = base
        else:
            self._parts[_PARTS[name]] = base
        if tiers:
            self._tiered[name] = tiers

    def row(self) -> dict[str, Any]:
        """All that was taken."""
        fields = dict(self._fields)
        if self._parts:
            fields["token_parts"] = self._parts
        tiers = self._tiers()
        if len(tiers) > TIERS_MAX:
            self._leave(f"more than {TIERS_MAX} tiers")
        elif tiers:
            fields["tiers"] = tiers
        if self._units:
            fields["units"] = self._units
        return fields

    def _tiers(self) -> list[dict[str, Any]]:
        """A tier at each bound that any price has; it says each price that has tiers."""
        tiers = []
        for bound in sorted({start for tiers in self._tiered.values() for start, _ in tiers}):
            tier: dict[str, Any] = {"above_input_tokens": bound}
            parts: dict[str, Decimal] = {}
            for name, steps in self._tiered.items():
                begun = [amount for start, amount in sorted(steps) if start <= bound]
                ours = _TOKENS.get(name)
                if ours is not None:
                    tier[ours] = begun[-1] if begun else self._fields[ours]
                else:
                    part = _PARTS[name]
                    parts[part] = begun[-1] if begun else self._parts[part]
            if parts:
                tier["token_parts"] = parts
            tiers.append(tier)
        return tiers

    def _scaled(self, name: str, value: Any, power: int) -> Decimal:
        amount, cleaned = price(times(value, Decimal((0, (1,), -power))))
        if cleaned:
            self._once(self._found.cleaned, name)
        return amount

    def _leave(self, what: str) -> None:
        self._once(self._found.left_out, what)

    def _once(self, found: list[tuple[str, str, str]], what: str) -> None:
        """Not for each date and variant."""
        one = (*self._at, what)
        if one not in found[-_RECENT:]:
            found.append(one)
