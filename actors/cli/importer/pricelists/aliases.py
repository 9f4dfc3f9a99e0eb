"""Other names of models: exact ones, of which none is two models'."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from actors.cli.importer.pricelists.rows import ALIASES_MAX, MODEL_LENGTH_MAX, PriceList


class Aliases:
    """The names that a list gives its models beside their own.

    A name that is another row's own, or that was given to another row before, is left out; the
    first of a row's names are taken, and what is over `ALIASES_MAX` is named.
    """

    def __init__(self, found: PriceList) -> None:
        self._found = found
        self._of: dict[str, dict[str, str]] = defaultdict(dict)

    def add(self, provider: str, model: str, name: str) -> None:
        """A name of a model."""
        if name == model:
            return
        if not 1 <= len(name) <= MODEL_LENGTH_MAX:
            self._found.left_out.append((provider, model, "an alias that is empty or too long"))
        elif self._of[provider].setdefault(name, model) != model:
            self._found.left_out.append((provider, model, "an alias that another model has"))

    def write(self) -> None:
        """Put the names on the rows of the variant "" that they are of."""
        exact: dict[str, set[str]] = defaultdict(set)
        for row in self._found.rows:
            exact[row.provider].add(row.model)
        names: dict[tuple[str, str], list[str]] = defaultdict(list)
        for provider, given in self._of.items():
            for name, model in given.items():
                if name in exact[provider]:
                    continue  # a row of its own says what it costs
                some = names[provider, model]
                if len(some) == ALIASES_MAX:
                    left = (provider, model, f"an alias over {ALIASES_MAX}")
                    self._found.left_out.append(left)
                else:
                    some.append(name)
        self._found.rows = [
            replace(row, fields={**row.fields, "aliases": sorted(own)})
            if not row.variant and (own := names.get((row.provider, row.model)))
            else row
            for row in self._found.rows
        ]
