"""LiteLLM's price list: an object of entries by model name, as JSON."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from actors.cli.importer.errors import BadInput
from actors.cli.importer.pricelists.aliases import Aliases
from actors.cli.importer.pricelists.litellm_entry import Entry
from actors.cli.importer.pricelists.litellm_rows import rows_of
from actors.cli.importer.pricelists.providers import BUILTIN, described, provider_id
from actors.cli.importer.pricelists.rows import MODEL_LENGTH_MAX, ListedPrice, PriceList

BYTES_MAX: Final = 16 * 1024 * 1024
ENTRIES_MAX: Final = 50_000
_NUMBERS: Final = 4_096
_NOT_MODELS: Final = ("sample_spec", "fallback_generalizations")
_SEARCH: Final = "search"
_PREFIXES: Final = {
    "gemini": ("gemini",),
    "openai": ("openai", "text-completion-openai"),
    "mistral": ("mistral", "codestral", "text-completion-codestral"),
    "vertex_ai": ("vertex_ai",),
    "fireworks_ai": ("fireworks_ai",),
    "exa": ("exa_ai",),
    "bedrock": ("bedrock", "bedrock_converse"),
}
"""What may stand in front of a provider's models, beside the list's name of the provider."""

Entries = dict[str, dict[str, Any]]


def read_litellm(text: str) -> PriceList:
    """A file such as LiteLLM's ``model_prices_and_context_window.json``.

    Raises:
        BadInput: it is not one, or is over 16 MiB or 50,000 entries.
    """
    found = PriceList()
    entries = _entries(text, found)
    places = _places(entries, found)
    aliases = Aliases(found)
    modes: dict[str, list[str]] = defaultdict(list)
    for (provider, model), listed in places.items():
        row = entries[listed]
        entry = Entry(found, provider, model, listed, row)
        rows = rows_of(entry)
        entry.name_the_rest()
        if not rows:
            found.skip("no price", listed)
            continue
        if entry.is_bad():
            found.skip("a price that is no amount", listed)
            continue
        modes[provider].append(entry.mode)
        found.rows += [ListedPrice(provider, model, rows[v], v) for v in rows]
    _reach_default_models(found)
    _alias(found, entries, places, aliases)
    aliases.write()
    found.providers = [one for p, m in modes.items() if (one := described(p, m)) is not None]
    return found


def names_of(text: str) -> dict[str, list[str]]:
    """The names of a list's models by our provider, which match rules can be tried on.

    Raises:
        BadInput: as `read_litellm`.
    """
    found = PriceList()
    names: dict[str, list[str]] = defaultdict(list)
    for provider, model in _places(_entries(text, found), found):
        names[provider].append(model)
    return dict(names)


def _entries(text: str, found: PriceList) -> Entries:
    if len(text) > BYTES_MAX:
        raise BadInput(f"not a price list: over {BYTES_MAX:,} characters")
    number = lru_cache(_NUMBERS)(Decimal)  # the same few again and again, each 100 bytes
    try:
        models = json.loads(
            text,
            parse_float=number,
            parse_int=number,
            parse_constant=number,
            object_pairs_hook=lambda pairs: _object(pairs, found),
        )
    except (ValueError, ArithmeticError) as error:
        raise BadInput(f"not JSON: {error}") from None
    except RecursionError:
        raise BadInput("not a price list: nested too deep") from None
    if not isinstance(models, dict) or not all(isinstance(row, dict) for row in models.values()):
        raise BadInput("not a price list: an object of objects by model is expected")
    if len(models) > ENTRIES_MAX:
        raise BadInput(f"not a price list: over {ENTRIES_MAX:,} models")
    try:
        "".join(models).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can say and no request can
        raise BadInput("not a price list: the name of a model is no text") from None
    return models


def _object(pairs: list[tuple[str, Any]], found: PriceList) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        for name, count in Counter(name for name, _ in pairs).items():
            if count > 1:
                found.skip("a key twice: the last is taken", name)
    return made


def _places(entries: Entries, found: PriceList) -> dict[tuple[str, str], str]:
    """Which entry is the row of a provider's model: the one with the provider in front."""
    places: dict[tuple[str, str], str] = {}
    plain: set[str] = set()
    for listed, row in entries.items():
        if listed in _NOT_MODELS or "alias_of" in row:
            continue
        theirs = row.get("litellm_provider")
        provider = provider_id(theirs) if isinstance(theirs, str) else None
        if provider is None or not isinstance(theirs, str):
            found.skip("no provider", listed)
            continue
        model = _model(listed, provider, theirs)
        if not 1 <= len(model) <= MODEL_LENGTH_MAX:
            found.skip("a name that is empty or too long", listed[:80])
            continue
        if model == listed:
            plain.add(listed)
        other = places.get((provider, model))
        if other is None:
            places[provider, model] = listed
            continue
        first, second = (
            (listed, other) if other in plain and listed not in plain else (other, listed)
        )
        places[provider, model] = first
        found.skip("another name of the same model", second)
    return places


def _model(listed: str, provider: str, theirs: str) -> str:
    for prefix in (theirs, *_PREFIXES.get(provider, ())):
        if listed.startswith(f"{prefix}/"):
            return listed[len(prefix) + 1 :]
    return listed


def _reach_default_models(found: PriceList) -> None:
    """What a search costs also for a call that names no model.

    A crawler's default is no search: its price by the page stays.
    """
    known = {row.key for row in found.rows}
    for row in list(found.rows):
        builtin = BUILTIN.get(row.provider)
        if builtin is None or builtin.kind != _SEARCH or row.model != _SEARCH:
            continue
        twin = ListedPrice(row.provider, builtin.default_model, dict(row.fields), row.variant)
        if twin.key not in known:
            found.rows.append(twin)


def _alias(
    found: PriceList, entries: Entries, places: Mapping[tuple[str, str], str], aliases: Aliases
) -> None:
    """The list's own other names."""
    place_of = {listed: place for place, listed in places.items()}
    for listed, row in entries.items():
        if "alias_of" not in row:
            continue
        target = place_of.get(str(row["alias_of"]))
        if target is None:
            found.skip("another name of no model of the list", listed)
            continue
        provider = target[0]
        aliases.add(provider, target[1], _model(listed, provider, listed.partition("/")[0]))
