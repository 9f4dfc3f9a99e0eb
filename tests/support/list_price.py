"""What a body of `track` costs by LiteLLM's list: the contract's rules, written down once more.

It reads the list itself, so that no importer and no service takes part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

_VARIANTS: Final = {"": "", "batch": "_batches", "flex": "_flex", "priority": "_priority"}
_TIER: Final = re.compile(r"input_cost_per_token(_above_([0-9]+)k_tokens)")
_LONG: Final = ("_above_1hr", "_above_12hr")
_FILE_SEARCH: Final = Fraction("0.0025")  # which is in LiteLLM's code and not in its list


@cache
def price_list() -> dict[str, dict[str, Any]]:
    """The list that came with LiteLLM."""
    found = find_spec("litellm")  # to import it would take seconds
    assert found is not None
    assert found.origin is not None
    place = Path(found.origin).with_name("model_prices_and_context_window_backup.json")
    rows: dict[str, dict[str, Any]] = json.loads(place.read_text())
    return rows


def cost_of(body: Mapping[str, Any]) -> Fraction:
    """The cost in USD; the model has to have a row of that name or of ``provider/name``."""
    rows, model = price_list(), body["model_used"]
    row = rows.get(f"{body['provider']}/{model}") or rows[model]
    whole = body.get("tokens_input", 0)
    if body.get("token_counting") == "exclusive":
        whole += body.get("tokens_cache_read", 0) + body.get("tokens_cache_write", 0)
    charge = sum(
        (count * _price(row, body, whole, *names) for count, *names in _token_counts(body, whole)),
        Fraction(0),
    )
    for name in body.get("price_factors", ()):
        charge *= Fraction(str(row["provider_specific_entry"][name]))
    units = body.get("units", {})
    web = row.get("search_context_cost_per_query", {}).get("search_context_size_medium", 0)
    charge += units.get("web_searches", 0) * Fraction(str(web))
    charge += units.get("file_searches", 0) * _FILE_SEARCH
    charge += units.get("characters", 0) * Fraction(str(row.get("input_cost_per_character", 0)))
    seconds = ("output_cost_per_second", "output_cost_per_video_per_second")
    charge += Fraction(units.get("seconds", 0)) * _price(row, body, 0, *seconds)
    # Per image, the list repeats the price of an image's tokens where it has one.
    images = _price(row, body, 0, "output_cost_per_image")
    return Fraction(charge + images * body.get("image_count", 0))


def _token_counts(body: Mapping[str, Any], whole: int) -> Iterator[tuple[Any, ...]]:
    """Each kind of tokens: how many, and the names of its price, the first of which counts."""
    parts = dict(body.get("token_parts", {}))
    read, written = body.get("tokens_cache_read", 0), body.get("tokens_cache_write", 0)
    reasoning, output = body.get("tokens_reasoning", 0), body.get("tokens_output", 0)
    long = parts.pop("cache_write_long", 0)
    for name, count in parts.items():
        kind, modality = name.rsplit("_", 1)
        if kind == "cache_read":
            own = f"cache_read_input_{modality}_token_cost"
            yield count, own, "cache_read_input_token_cost"
            read -= count
            whole -= count
        else:
            yield count, f"{kind}_cost_per_{modality}_token", f"{kind}_cost_per_token"
            whole -= count if kind == "input" else 0
            output -= count if kind == "output" else 0
    write = "cache_creation_input_token_cost"
    yield long, *(write + life for life in _LONG), write
    yield written - long, write, "input_cost_per_token"
    yield read, "cache_read_input_token_cost", "input_cost_per_token"
    yield reasoning, "output_cost_per_reasoning_token", "output_cost_per_token"
    yield output - reasoning, "output_cost_per_token", "output_cost_per_image_token"
    yield whole - read - written, "input_cost_per_token"


def _price(row: Mapping[str, Any], body: Mapping[str, Any], whole: int, *names: str) -> Fraction:
    variant = _VARIANTS[body.get("price_variant", "")]
    steps = [(int(step[2]) * 1000, step[1]) for key in row if (step := _TIER.fullmatch(key))]
    above = max((step for step in steps if step[0] < whole), default=(0, ""))[1]
    for name in names:
        for key in (name + above + variant, name + variant, name + above, name):
            if row.get(key) is not None:
                return Fraction(str(row[key]))
    return Fraction(0)
