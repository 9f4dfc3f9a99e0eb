"""What the names of a call meant when its key was first used: contract 1.1, section 0.

The catalogue fills in what a call leaves out: the provider behind an alias, the model, the actual
provider. That may change between a request and its repetition, which is to get its first reply.
So an event says which of its names the catalogue filled in. What the program itself fills in for
the 14 providers of the contract never changes, and is not said.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from actors.billing.catalog.providers import BUILTIN, Provider, Providers
from messages.errors import RequestError
from messages.scalars import EXCLUSIVE, INCLUSIVE, TokenCounting
from messages.stored.detail import HoldDetail, UsageDetail

MODEL: Final = "model"
ACTUAL: Final = "actual"
COUNTING: Final = "counting"
"""What may be filled in, as events say it."""


class Told(NamedTuple):
    """What an event says of how its names were found.

    Attributes:
        alias: the provider as it was sent, None if that is its id or an alias of the program.
        filled: which names the catalogue filled in otherwise than the program would.
    """

    alias: str | None
    filled: tuple[str, ...]


NOT_TOLD: Final = Told(None, ())


class Names(NamedTuple):
    """The canonical names of a call: as they are stored, or as a request comes to them."""

    provider: str
    actual: str
    model: str


class Said(NamedTuple):
    """What a call says of them."""

    provider: str
    model: str | None
    actual: str | None
    endpoint: str | None


@lru_cache(maxsize=256)
def _as_in_the_program(provider_id: str) -> Provider:
    """A provider as it is before anybody has put it."""
    known = BUILTIN.get(provider_id)
    return known or Provider(id=provider_id, name=provider_id, served_by=provider_id)


def alias_of(provider_id: str, name: str) -> str | None:
    """The name by which a provider was found, None if the program itself gives it that name."""
    plain = _as_in_the_program(provider_id)
    return None if name == provider_id or name in plain.aliases else name


def id_then(name: str, stored: str, alias: str | None, providers: Providers) -> str:
    """The id of the provider of a name, as it was for a stored event with this ``alias``."""
    if name in {stored, alias} or name in _as_in_the_program(stored).aliases:
        return stored
    now = providers.get(name)
    return name if now is None else now.id


def detail_of(
    found: Provider, provider: str, model: str | None, actual: str | None, endpoint: str | None
) -> UsageDetail | None:
    """What is stored of how the names of a call were found, by a provider that ``provider`` names.

    None if that is nothing.
    """
    plain = _as_in_the_program(found.id)
    alias = alias_of(found.id, provider)
    filled = []
    if not model and found.default_model != plain.default_model:
        filled.append(MODEL)
    if found.actual_of(actual, model, endpoint) != plain.actual_of(actual, model, endpoint):
        filled.append(ACTUAL)
    if alias is None and not filled and not found.of_text:
        return None
    return UsageDetail(alias=alias, filled=tuple(filled), text=found.of_text)


def names_then(said: Said, stored: Names, told: Told, providers: Providers) -> Names | None:
    """The names of a request, where what it leaves out means what it did for a stored event.

    Args:
        said: what the request says.
        stored: the names of the event that has its key.
        told: what the event says of them.
        providers: as they are now.

    Returns:
        None if the request names a provider that was not there then and is not now.
    """
    plain = _as_in_the_program(stored.provider)
    if said.provider in {stored.provider, told.alias} or said.provider in plain.aliases:
        now = providers.of_id(stored.provider) or plain
    else:
        try:
            now = providers.find(said.provider)
        except RequestError:
            return None
    model = said.model or (
        stored.model
        if MODEL in told.filled or stored.model == plain.default_model
        else now.default_model
    )
    if said.actual:
        actual = said.actual
    elif ACTUAL in told.filled or stored.actual == plain.actual_of(None, said.model, said.endpoint):
        actual = stored.actual
    else:
        actual = now.actual_of(None, said.model, said.endpoint)
    return Names(now.id, actual, model)


def counting_then(
    said: TokenCounting | None, stored: UsageDetail | HoldDetail, provider: str, now: Providers
) -> TokenCounting | None:
    """How a request counts, None if inclusive: what it does not say as it was for a stored event.

    Args:
        said: what the request says.
        stored: what the event that has its key says.
        provider: of that event.
        now: the providers as they are now.
    """
    if said is not None:
        return None if said == INCLUSIVE else said
    if stored.token_counting is None or COUNTING in stored.filled:
        return stored.token_counting
    known = now.of_id(provider)
    return EXCLUSIVE if known is not None and known.token_counting == EXCLUSIVE else None
