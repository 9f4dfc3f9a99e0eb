"""Providers of the contract, and who really served a call.

Rules of the contract, section 5 ("Providers", "Actual provider") and section 3 ("Model").
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Final

import msgspec
from msgspec import Struct

from messages.errors import RequestError
from messages.refusals import clip, closest

WAVESPEED: Final = "wavespeed"
TEXT: Final = "ai_text_generation"
"""The group whose calls ``ai_text_generation_calls`` counts together."""


class Provider(Struct, frozen=True, kw_only=True):
    """A provider that callers may name.

    Attributes:
        name: the canonical name, which replies use.
        kind: llm, search, crawl or media.
        default_model: the model of a call that names none.
        actual: who serves its calls if nothing else says so.
        aliases: other names that are accepted for it.
        groups: of providers, which limits count together.
        detect: (actual provider, substrings), the first match decides.
    """

    name: str
    kind: str
    default_model: str
    actual: str
    aliases: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    detect: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def actual_of(self, said: str | None, model: str | None, endpoint: str | None) -> str:
        """Who served the call: as the caller says, else by the model as sent, then the endpoint."""
        if said:
            return said
        if self.detect:
            for text in (model, endpoint):
                found = self._detect(text.lower()) if text else None
                if found is not None:
                    return found
        return self.actual

    def _detect(self, text: str) -> str | None:
        for actual, marks in self.detect:
            if any(mark in text for mark in marks):
                return actual
        return None


class Providers:
    """The providers by each of their names, in a fixed order."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self.all = tuple(providers)
        self._by_name = {name: p for p in self.all for name in (p.name, *p.aliases)}

    def find(self, name: str) -> Provider:
        """The provider of a name or alias.

        Raises:
            RequestError: ``unknown_provider``.
        """
        provider = self._by_name.get(name)
        if provider is None:
            raise RequestError(
                "unknown_provider",
                f"there is no provider {clip(name, 64)!r}{closest(name, self._by_name)}",
                field="provider",
            )
        return provider


def _of_the_contract() -> tuple[Provider, ...]:
    data = files("actors.billing.catalog").joinpath("data", "providers.json")
    return msgspec.json.decode(data.read_bytes(), type=tuple[Provider, ...])


PROVIDERS: Final = _of_the_contract()
"""The providers of the contract, in its order."""
NAMES: Final = tuple(provider.name for provider in PROVIDERS)
TEXT_PROVIDERS: Final = frozenset(x.name for x in PROVIDERS if TEXT in x.groups)
