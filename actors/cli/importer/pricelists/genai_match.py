"""Match rules of genai-prices over names that are known, for exact aliases.

A rule that begins with, contains or is a regular expression cannot be said by exact names. It is
tried on the names that are known, as the package tries them: a name is the first model's whose
rule fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from actors.cli.importer.pricelists.aliases import Aliases


def equals_of(rule: Any) -> Iterator[str]:
    """The names that a rule says exactly."""
    if hasattr(rule, "equals"):
        yield rule.equals
    for one in getattr(rule, "or_", None) or ():
        yield from equals_of(one)


def is_exact(rule: Any) -> bool:
    """Whether a rule fits nothing but names that it says."""
    if hasattr(rule, "or_"):
        return all(is_exact(one) for one in rule.or_)
    return hasattr(rule, "equals")


def add_aliases(
    provider: str, models: list[Any], aliases: Aliases, names: Iterable[str]
) -> list[str]:
    """Add the names of a provider's models.

    Args:
        provider: our id.
        models: those of the package, in its order.
        aliases: takes the names.
        names: what is known beside the names that rules say.

    Returns:
        the ids of the models whose rules say more than names.
    """
    ids = {model.id for model in models}
    said = [name for model in models for name in equals_of(getattr(model, "match", None))]
    for name in dict.fromkeys((*said, *sorted(set(names)))):
        if name in ids:
            continue
        lower = name.lower()
        first = next((m for m in models if _fits(m, lower)), None)
        if first is not None:
            aliases.add(provider, first.id, name)
    return [m.id for m in models if getattr(m, "match", None) and not is_exact(m.match)]


def _fits(model: Any, name: str) -> bool:
    match = getattr(model, "match", None)
    return match is not None and bool(match.is_match(name))
