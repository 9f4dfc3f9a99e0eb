"""What can happen to the catalogue, and what of it users' events carry. As `events`: for ever.

Money is in nano-USD (``*_nano``), a unit price in pico-USD, instants in microseconds since the
epoch.
"""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, Struct, UnsetType

ESTIMATED: Final = "estimate"
INCLUSIVE: Final = "inclusive"
"""What happens where a provider's price would be the estimate, and how its tokens are counted, if
nothing else is said: part of the form."""


class PlanTerms(Struct, frozen=True, cache_hash=True):
    """A plan as it holds for one period of one user.

    ``limits`` are (name, value) pairs in the order of the plan: calls and tokens as counts,
    cost limits in nano-USD. ``overridden`` names those that an override decides: they are hard,
    and 0 closes them in every tier. It is unset in a plan, and in what was stored before it was
    there: there an override is like a limit of the plan.
    """

    name: str
    tier: str
    version: int
    limits: tuple[tuple[str, int], ...]
    features: tuple[str, ...] = ()
    overridden: tuple[str, ...] | UnsetType = UNSET


class PlanPut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The catalogue has a new version of a plan; prices in nano-USD."""

    terms: PlanTerms
    price_monthly_nano: int
    price_yearly_nano: int
    content: str


class PriceTier(Struct, frozen=True, omit_defaults=True):
    """What a price is for a call whose input is larger than ``above`` tokens.

    ``amounts`` are by the names of a stored price and of token parts.
    """

    above: int
    amounts: dict[str, int]


class PricePut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The catalogue has a price from ``effective_from`` on; pico-USD per unit.

    ``units`` are pico-USD and for how many; ``multipliers`` in ten-thousandths. ``alias`` is the
    provider as it was sent, if that is an alias that the catalogue has by a put.
    """

    provider: str
    model: str
    version: int
    effective_from: int
    content: str
    input_token: int | None = None
    output_token: int | None = None
    cache_read_token: int | None = None
    cache_write_token: int | None = None
    reasoning_token: int | None = None
    request: int | None = None
    search: int | None = None
    image: int | None = None
    page: int | None = None
    variant: str = ""
    parts: dict[str, int] = {}
    tiers: tuple[PriceTier, ...] = ()
    units: dict[str, tuple[int, int]] = {}
    multipliers: dict[str, int] = {}
    aliases: tuple[str, ...] = ()
    alias: str | None = None


class PriceCancelled(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A price that was not in force yet was taken back: the newest of the variant from then."""

    provider: str
    model: str
    version: int
    effective_from: int
    cancelled: int
    content: str
    variant: str = ""
    alias: str | None = None


class UnitPut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The catalogue has a unit, or another name or bound of one.

    ``scale`` is its decimals, which never change; ``max_per_call`` counts its smallest parts.
    """

    id: str
    name: str
    scale: int
    max_per_call: int
    version: int
    content: str


class UnitArchived(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A unit is taken out of use until it is put again; the other fields are as it was."""

    id: str
    name: str
    scale: int
    max_per_call: int
    version: int
    content: str


class Detection(Struct, frozen=True, array_like=True):
    """Who serves a call whose model, or else endpoint, matches one of these globs, lower case."""

    actual: str
    model: tuple[str, ...] = ()
    endpoint: tuple[str, ...] = ()


class ProviderPut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The catalogue has a provider, whole, as of now: also if it was archived.

    An empty ``name`` or ``served_by`` is the ``id``. ``registered``: a call named it, so that it
    has no key and no ``content``.
    """

    id: str
    version: int
    content: str = ""
    name: str = ""
    kind: str = "other"
    default_model: str = "default"
    aliases: tuple[str, ...] = ()
    served_by: str = ""
    detect: tuple[Detection, ...] = ()
    groups: tuple[str, ...] = ()
    unpriced: str = ESTIMATED
    token_counting: str = INCLUSIVE
    registered: bool = False


class ProviderArchived(Struct, frozen=True, kw_only=True):
    """A provider is refused where calls are admitted, until it is put again."""

    id: str
    version: int
    content: str


CatalogEvent = (
    PlanPut | PricePut | PriceCancelled | ProviderPut | ProviderArchived | UnitPut | UnitArchived
)
"""What can happen to the catalogue."""
