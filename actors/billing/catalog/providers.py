"""Providers that callers may name, and who really served a call.

Rules of the contract, section 5 ("Providers", "Actual provider"), section 3 ("Model"), and of
contract 1.1, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct

from messages.errors import RequestError
from messages.globs import escaped, glob_matcher
from messages.identifiers import is_provider_id
from messages.refusals import clip, closest
from messages.stored.catalog import ESTIMATED, INCLUSIVE, Detection, ProviderPut

WAVESPEED: Final = "wavespeed"
TEXT: Final = "ai_text_generation"
"""The group whose calls ``ai_text_generation_calls`` counts together."""
DEFAULT_MODEL: Final = "default"
REFUSE: Final = "refuse"
ZERO: Final = "zero"
"""What happens where the price would be the estimate, beside the estimate."""
REGISTERED_MAX: Final = 1_000
"""Providers that were stored because a call named them."""
HINTED_MAX: Final = 200
"""Names among which one is looked for that was meant: to compare takes long."""
MATCHERS_KEPT: Final = 1_024
"""Globs that are ready to match, for the rows of providers that are put again and again."""

_matcher: Final = lru_cache(maxsize=MATCHERS_KEPT)(glob_matcher)
_Rule = tuple[str, tuple[Callable[[str], bool], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider that callers may name; what is left out is as in contract 1.1, section 3.

    Attributes:
        id: the canonical name, which replies and limits use.
        name: for people.
        kind: llm, search, crawl, media, or any other text.
        default_model: the model of a call that names none.
        served_by: who serves its calls if nothing else says so.
        aliases: other names that are accepted for it.
        groups: of providers, which limits count together.
        detect: who serves a call, by its model and its endpoint in lower case.
        unpriced: what happens where the price would be the estimate: estimate, refuse or zero.
        token_counting: inclusive, or exclusive: cache counts come beside ``tokens_input``.
        registered: a call named it, and nobody has put it since.
        archived: it is refused where calls are admitted.
        version: that of the change of the catalogue that made it so.
    """

    id: str
    name: str
    kind: str = "other"
    default_model: str = DEFAULT_MODEL
    served_by: str
    aliases: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    detect: tuple[Detection, ...] = ()
    unpriced: str = ESTIMATED
    token_counting: str = INCLUSIVE
    registered: bool = False
    archived: bool = False
    version: int = 1
    _by_model: tuple[_Rule, ...] = field(init=False, compare=False, repr=False)
    _by_endpoint: tuple[_Rule, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, place in (("_by_model", "model"), ("_by_endpoint", "endpoint")):
            rules = [(rule.actual, getattr(rule, place)) for rule in self.detect]
            ready = [(actual, tuple(map(_matcher, globs))) for actual, globs in rules if globs]
            object.__setattr__(self, name, tuple(ready))

    @property
    def builtin(self) -> bool:
        """Whether it is one of the 14 of the contract."""
        return self.id in BUILTIN

    @property
    def of_text(self) -> bool:
        """Whether it is of the text group and none of the 14: of those their place says it."""
        return TEXT in self.groups and self.id not in BUILTIN

    def is_plain(self, name: str) -> bool:
        """Whether it is as the program has it, and this is a name that the program gives it."""
        return self is BUILTIN.get(self.id) and (name == self.id or name in self.aliases)

    def actual_of(self, said: str | None, model: str | None, endpoint: str | None) -> str:
        """Who served the call: as the caller says, else by the model as sent, then the endpoint."""
        if said:
            return said
        if self.detect:
            for text, rules in ((model, self._by_model), (endpoint, self._by_endpoint)):
                found = _first(rules, text.lower()) if text else None
                if found is not None:
                    return found
        return self.served_by


def _first(rules: tuple[_Rule, ...], text: str) -> str | None:
    for actual, matchers in rules:
        if any(matches(text) for matches in matchers):
            return actual
    return None


def provider_of(event: ProviderPut) -> Provider:
    """The provider of a stored change."""
    return Provider(
        id=event.id,
        name=event.name or event.id,
        kind=event.kind,
        default_model=event.default_model,
        served_by=event.served_by or event.id,
        aliases=event.aliases,
        groups=event.groups,
        detect=event.detect,
        unpriced=event.unpriced,
        token_counting=event.token_counting,
        registered=event.registered,
        version=event.version,
    )


class Providers:
    """The providers by each of their names, in the order in which they came.

    Attributes:
        registers: whether a call may name one that is not there: it is stored by that.
        registered: how many were.
    """

    def __init__(self, providers: Iterable[Provider]) -> None:
        self.registers = False
        self.registered = 0
        self._by_id: dict[str, Provider] = {}
        self._by_name: dict[str, Provider] = {}
        for provider in providers:
            self.put(provider)

    @property
    def all(self) -> tuple[Provider, ...]:
        """All of them, also those that are archived."""
        return tuple(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def page(self, start: int, most: int) -> tuple[Provider, ...]:
        """Some of them, in order."""
        return tuple(islice(self._by_id.values(), start, start + most))

    def put(self, provider: Provider) -> None:
        """Add a provider, or have one be as this says."""
        before = self._by_id.get(provider.id)
        if before is not None:
            self.registered -= before.registered
            for alias in before.aliases:
                self._by_name.pop(alias, None)
        self.registered += provider.registered
        self._by_id[provider.id] = provider
        self._by_name |= dict.fromkeys((provider.id, *provider.aliases), provider)

    @property
    def left_to_register(self) -> int:
        """How many more may be stored because a call names them."""
        return max(REGISTERED_MAX - self.registered, 0)

    def archive(self, provider_id: str, version: int) -> None:
        """Have a provider refused where calls are admitted.

        Raises:
            KeyError: there is none of this id.
        """
        self.put(replace(self._by_id[provider_id], archived=True, version=version))

    def get(self, name: str) -> Provider | None:
        """The provider of an id or alias."""
        return self._by_name.get(name)

    def of_id(self, provider_id: str) -> Provider | None:
        """The provider of an id."""
        return self._by_id.get(provider_id)

    def find(self, name: str) -> Provider:
        """The provider of a name or alias, or what would be stored if a call named it.

        Raises:
            RequestError: ``unknown_provider``.
        """
        provider = self._by_name.get(name)
        if provider is None:
            if self.may_register(name):
                return Provider(id=name, name=name, served_by=name)
            raise self.unknown(name)
        return provider

    def may_register(self, name: str) -> bool:
        """Whether a call that names this, which is not there, stores it."""
        return (
            self.registers
            and self.registered < REGISTERED_MAX
            and name not in self._by_name
            and is_provider_id(name)
        )

    def unknown(self, name: str, field: str = "provider") -> RequestError:
        """The error for a name that none of them has."""
        similar = closest(name, islice(self._by_name, HINTED_MAX))
        return RequestError(
            "unknown_provider", f"there is no provider {clip(name, 64)!r}{similar}", field=field
        )

    @staticmethod
    def archived(provider_id: str) -> RequestError:
        """The error for a call to be admitted of a provider that is archived."""
        why = f"the provider {provider_id!r} is archived"
        return RequestError("unknown_provider", why, field="provider")


class _Row(Struct, frozen=True, kw_only=True):
    """A line of ``data/providers.json``; ``detect`` are (actual provider, parts of a text)."""

    name: str
    kind: str
    default_model: str
    actual: str
    aliases: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    detect: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def provider(self) -> Provider:
        return Provider(
            id=self.name,
            name=self.name,
            kind=self.kind,
            default_model=self.default_model,
            served_by=self.actual,
            aliases=self.aliases,
            groups=self.groups,
            detect=tuple([_detection(actual, parts) for actual, parts in self.detect]),
        )


def _detection(actual: str, parts: tuple[str, ...]) -> Detection:
    globs = tuple([f"*{escaped(part)}*" for part in parts])
    return Detection(actual, globs, globs)


def _of_the_contract() -> dict[str, Provider]:
    data = files("actors.billing.catalog").joinpath("data", "providers.json")
    rows = msgspec.json.decode(data.read_bytes(), type=tuple[_Row, ...])
    return {row.name: row.provider() for row in rows}


BUILTIN: Final[Mapping[str, Provider]] = _of_the_contract()
"""The 14 providers of the contract, in its order, as they are before anybody has put one."""
NAMES: Final = tuple(BUILTIN)
TEXT_PROVIDERS: Final = frozenset(x.id for x in BUILTIN.values() if TEXT in x.groups)
