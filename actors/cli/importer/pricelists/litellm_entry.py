"""An entry of LiteLLM's list with its prices read: by variant, tier and field of ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from actors.cli.importer.pricelists.amounts import UnitPrice, factor, price, times, unit_price
from actors.cli.importer.pricelists.litellm_keys import (
    CACHE_HIT,
    FACTORS,
    PART,
    UPLIFTS,
    bears_price,
    token_key,
)
from actors.cli.importer.pricelists.rows import PriceList

Prices = dict[str, Decimal]

_IMAGES: Final = ("image_generation", "image_edit")
_ABOUT_QUERIES: Final = ("search", "rerank")
_SIZE: Final = re.compile(r"(\d{2,5})-x-(\d{2,5})/")
_THOUSANDTH: Final = Decimal("0.001")
_RESULTS: Final = 10
"""How many results a search gives that does not say: LiteLLM's default."""
_INPUT: Final = "cost_per_input_token"
_READ_CACHE: Final = "cost_per_cache_read_token"
_READ_RATIOS: Final = {"fireworks_ai": Decimal("0.5")}
"""What a cache read costs of the input where an entry does not say; LiteLLM has it in its code."""


class Entry:
    """The prices of an entry, and what of it is taken already.

    Args:
        found: where what is not taken is named.
        provider: our provider.
        model: our model.
        listed: its name in the list, which may say the size of an image.
        row: the entry.

    Attributes:
        tokens: by variant and bound of the tier (0: none), the prices of tokens and pages.
        others: prices per request, search, image.
        units: prices of units.
        batch_units: those that a batch has of its own.
        multipliers: factors of the charge for tokens.
    """

    def __init__(
        self, found: PriceList, provider: str, model: str, listed: str, row: dict[str, Any]
    ) -> None:
        self.provider = provider
        self.model = model
        self.listed = listed
        self.row = row
        self.mode = str(row.get("mode"))
        self.tokens: dict[tuple[str, int], Prices] = {}
        self.others: Prices = {}
        self.units: dict[str, UnitPrice] = {}
        self.batch_units: dict[str, UnitPrice] = {}
        self.multipliers: Prices = {}
        self._found = found
        self._taken: set[str] = set()
        self._read_tokens()
        self._read_searches()
        self._read_images()
        self._read_units()
        self._read_factors()

    def leave(self, what: str) -> None:
        """Name what is not taken."""
        self._found.left_out.append((self.provider, self.model, what))

    def name_the_rest(self) -> None:
        """Name each field that may bear a price and was not taken."""
        for key, value in self.row.items():
            if key not in self._taken and (bears_price(key, value) or _is_no_amount(key, value)):
                self.leave(key)

    def is_bad(self) -> bool:
        """Whether a price of tokens is no amount: the rest of the entry would be half a price."""
        return any(_is_no_amount(key, value) for key, value in self.row.items())

    def taken(self, key: str) -> None:
        """A field was taken as a whole."""
        self._taken.add(key)

    def take(self, key: str, read: Callable[[object], tuple[Any, bool]] = price) -> Any:
        """The amount of a field, which is taken then; None if there is none, or it is not exact."""
        value = self.row.get(key)
        if value is None:
            return None
        return self.amount(key, value, read)

    def amount(
        self, key: str, value: object, read: Callable[[object], tuple[Any, bool]] = price
    ) -> Any:
        """The amount of a value that stands in a field."""
        try:
            amount, cleaned = read(value)
        except ValueError:
            return None
        if cleaned:
            self._found.cleaned.append((self.provider, self.model, key))
        self._taken.add(key)
        return amount

    def _read_tokens(self) -> None:
        for key in self.row:
            named = token_key(key)
            if named is not None and (amount := self.take(key)) is not None:
                at = self.tokens.setdefault((named.variant, named.bound), {})
                if at.setdefault(named.field, amount) != amount:
                    self._taken.discard(key)  # two lifetimes of a cache write at two prices
        base = self.tokens.setdefault(("", 0), {})
        hit = self.row.get(CACHE_HIT)
        if hit is not None and base.get(_READ_CACHE, hit) == hit:
            amount = self.take(CACHE_HIT)
            if amount is not None:
                base[_READ_CACHE] = amount
        ratio = _READ_RATIOS.get(str(self.row.get("litellm_provider")))
        if ratio is not None and _INPUT in base and _READ_CACHE not in base:
            base[_READ_CACHE] = price(base[_INPUT] * ratio)[0]

    def _read_searches(self) -> None:
        self._put(self.others, "cost_per_request", "input_cost_per_request")
        if self.mode in _ABOUT_QUERIES:
            self._put(self.others, "cost_per_search", "input_cost_per_query")
            if "cost_per_search" not in self.others:
                self._read_search_of_default_size()
        context = self.row.get("search_context_cost_per_query")
        if isinstance(context, dict):
            given = context.get("search_context_size_medium")
            if given is not None:
                amount = self.amount("search_context_cost_per_query", given)
                if amount is not None:
                    self.units["web_searches"] = amount
                    if any(one != given for one in context.values()):
                        self.leave("search_context_cost_per_query: low and high")

    def _read_search_of_default_size(self) -> None:
        """A search whose price goes by its results: that of one which does not say how many."""
        listed = self.row.get("tiered_pricing")
        for tier in listed if isinstance(listed, list) else ():
            if not isinstance(tier, dict):
                return
            bounds = tier.get("max_results_range")
            if not isinstance(bounds, list) or len(bounds) != 2:
                return
            if all(isinstance(one, Decimal) for one in bounds) and (
                bounds[0] <= _RESULTS <= bounds[1]
            ):
                amount = self.amount("tiered_pricing", tier.get("input_cost_per_query"))
                if amount is not None:
                    self.others["cost_per_search"] = amount
                    self.leave("tiered_pricing: by results")
                return

    def _read_images(self) -> None:
        base = self.tokens[("", 0)]
        if f"{PART}output_image" in base:
            return  # the same money
        paid_by_token = any(base.get(n) for n in ("cost_per_input_token", "cost_per_output_token"))
        if self.mode in _IMAGES or not paid_by_token:
            self._put(self.others, "cost_per_image", "output_cost_per_image")
        if self.mode not in _IMAGES or "cost_per_image" in self.others:
            return
        self._put(self.others, "cost_per_image", "input_cost_per_image")
        size = _SIZE.search(self.listed)
        pixel = self.row.get("input_cost_per_pixel")
        if "cost_per_image" not in self.others and size and pixel is not None:
            pixels = Decimal(int(size[1]) * int(size[2]))
            amount = self.amount(
                "input_cost_per_pixel", pixel, lambda one: price(times(one, pixels))
            )
            if amount is not None:
                self.others["cost_per_image"] = amount

    def _read_units(self) -> None:
        for unit, key, into in (
            ("characters", "input_cost_per_character", self.units),
            ("annotated_pages", "annotation_cost_per_page", self.units),
            ("annotated_pages", "annotation_cost_per_page_batches", self.batch_units),
        ):
            amount = self.take(key, unit_price)
            if amount is not None:
                into[unit] = amount
        pages = self.tokens[("", 0)].get("cost_per_page")
        if self.mode == "ocr" and pages is not None:  # as LiteLLM has it
            self.units.setdefault("annotated_pages", pages)
        self._read_file_searches()
        self._read_seconds()

    def _read_file_searches(self) -> None:
        key = "file_search_cost_per_1k_calls"
        amount = self.take(key, lambda value: price(times(value, _THOUSANDTH)))
        if amount is not None:
            self.units["file_searches"] = amount

    def _read_seconds(self) -> None:
        """One price of a second; of several, the first that is not 0, as LiteLLM does."""
        keys = (
            "output_cost_per_video_per_second",
            "output_cost_per_second",
            "cost_per_second",
            "input_cost_per_second",
            "input_cost_per_audio_per_second",
            "input_cost_per_video_per_second",
        )
        given = [key for key in keys if isinstance(self.row.get(key), Decimal)]
        paid = [key for key in given if self.row[key]]
        if {"input_cost_per_audio_per_second", "input_cost_per_video_per_second"} <= {*paid}:
            return  # seconds of two kinds
        for key in (*paid, *given):
            if "seconds" not in self.units:
                amount = self.take(key, unit_price)
                if amount is not None:
                    self.units["seconds"] = amount
            elif not self.row[key] or self.row[key] == self.row[(paid or given)[0]]:
                self._taken.add(key)

    def _read_factors(self) -> None:
        for key, name in UPLIFTS.items():
            amount = self.take(key, lambda value: (factor(value), False))
            if amount is not None:
                self.multipliers[name] = amount
        specific = self.row.get("provider_specific_entry")
        if not isinstance(specific, dict):
            return
        self._taken.add("provider_specific_entry")
        for name, value in specific.items():
            amount = _factor(value) if name in FACTORS else None
            taken = amount is not None and self.multipliers.setdefault(name, amount) == amount
            if not taken and bears_price(name, value):
                self.leave(f"provider_specific_entry: {name}")

    def _put(self, into: Prices, ours: str, key: str) -> None:
        amount = self.take(key)
        if amount is not None:
            into[ours] = amount


def _is_no_amount(key: str, value: object) -> bool:
    if value is None or token_key(key) is None:
        return False
    return not isinstance(value, Decimal) or not value.is_finite() or value < 0


def _factor(value: object) -> Decimal | None:
    try:
        return factor(value)
    except ValueError:
        return None
