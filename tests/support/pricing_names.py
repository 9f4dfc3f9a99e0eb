"""How a model is found by contract 1.1, section 4, once more: plain and slow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

REGIONS = ("us.", "eu.", "apac.", "jp.", "au.", "us-gov.", "global.")
VENDORS = ("anthropic.", "openai.", "meta.", "amazon.", "mistral.", "cohere.", "deepseek.")
PUBLISHER = re.compile(r"publishers/[^/]+/models/")
DATED = re.compile(
    r"(?P<name>.+?)(?:-(?P<a>\d{4})-(?P<b>\d\d)-(?P<c>\d\d)|[-@](?P<d>\d{4})(?P<e>\d\d)(?P<f>\d\d))"
    r"(?:-v\d+:\d+)?"
)
GEMINI_BUILD = re.compile(r"(?P<name>.+)-00\d")


@dataclass(frozen=True)
class Match:
    """The model whose row prices the call, how it was found, and a region that was taken off."""

    model: str
    by: str
    region: str = ""


def find(rows: Iterable[Mapping[str, Any]], provider: str, model: str) -> Match | None:
    """The row of a provider that prices a model, without `default` and the estimate."""
    models = {row["model"]: row for row in rows if not row.get("variant")}
    found = _by_name(models, provider, model)
    if found is not None:
        return found
    if not model.startswith("ft:"):
        return _undated(models, provider, model)
    base = model.split(":")[1]
    found = _by_name(models, provider, f"ft:{base}")
    if found is not None:
        return found
    return _undated(models, provider, f"ft:{base}")


def _by_name(models: Mapping[str, Mapping[str, Any]], provider: str, model: str) -> Match | None:
    if model in models:
        return Match(model, "exact")
    for name, row in models.items():
        if model in (row.get("aliases") or ()):
            return Match(name, "alias")
    return _only(models, provider, normalised(model, provider), "normalised")


def _undated(models: Mapping[str, Mapping[str, Any]], provider: str, model: str) -> Match | None:
    name = normalised(model, provider)
    region = next((one for one in REGIONS if name.startswith(one)), "")
    name = name.removeprefix(region)
    name = name.removeprefix(next((one for one in VENDORS if name.startswith(one)), ""))
    dated = DATED.fullmatch(name)
    if dated is not None and _is_day(dated):
        name = dated["name"]
    elif provider == "gemini" and (build := GEMINI_BUILD.fullmatch(name)):
        name = build["name"]
    found = _only(models, provider, name, "undated")
    return None if found is None else Match(found.model, found.by, region.rstrip("."))


def _only(models: Iterable[str], provider: str, name: str, by: str) -> Match | None:
    same = [one for one in models if normalised(one, provider) == name]
    return Match(same[0], by) if len(same) == 1 else None


def normalised(model: str, provider: str) -> str:
    """A name without case, space and one prefix that says where it is."""
    name = model.strip().lower()
    for prefix in ("models/", f"{provider}/", "azure/", "bedrock/", "vertex_ai/"):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return PUBLISHER.sub("", name, count=1) if PUBLISHER.match(name) else name


def _is_day(dated: re.Match[str]) -> bool:
    year, month, day = (int(dated[a] or dated[b]) for a, b in (("a", "d"), ("b", "e"), ("c", "f")))
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
