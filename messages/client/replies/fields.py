"""What the mappings return, and the fields that all of them have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, cast

from ...errors import InvalidRequest
from ...scalars import Outcome, PartName, TokenCounting
from ..fields import CountFields, TrackFields
from .reading import check_text

_PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
_PLAIN_VARIANTS: Final = frozenset(
    {"", "auto", "default", "standard", "scale", "on_demand", "unspecified"}
)
"""What tiers of service are called that cost what the model costs."""
_SAME_VARIANTS: Final = {"fast": "priority", "batches": "batch"}


class TokenFields(CountFields, total=False):
    """What a reply says of tokens."""

    token_parts: Mapping[PartName, int] | None
    token_counting: TokenCounting | None


ReplyFields = TrackFields
"""Fields of `track` that a reply gives; numbers are `int` or `Decimal`, never floats."""


def body(
    provider: str,
    model: str | None,
    counts: TokenFields | None = None,
    *,
    units: Mapping[str, int | Decimal | None] | None = None,
    image_count: int | None = None,
    variant: str | None = None,
    factors: Sequence[str] = (),
    outcome: Outcome | None = None,
) -> ReplyFields:
    """The fields of a call; what is None, or a unit of which there are none, is left out.

    Raises:
        InvalidRequest: the provider is no provider id, the model or the variant is no text that
            fits.
    """
    if not _PROVIDER.fullmatch(check_text(provider, "provider")):
        raise InvalidRequest("provider must be the id of a provider", "provider")
    found = cast("ReplyFields", {"provider": provider, **(counts or {})})
    if model is not None:
        found["model_used"] = check_text(model, "model_used")
    if said := {name: amount for name, amount in (units or {}).items() if amount}:
        found["units"] = said
    if image_count is None and "output_image" in (found.get("token_parts") or {}):
        image_count = 0  # its tokens are the image: an absent count would be one image more
    if image_count is not None:
        found["image_count"] = image_count
    if priced := to_variant(variant):
        found["price_variant"] = priced
    if factors:
        found["price_factors"] = [*factors]
    if outcome is not None:
        found["outcome"] = outcome
    return found


def to_variant(tier: str | None) -> str | None:
    """The ``price_variant`` of a tier of service; None if it costs what the model costs.

    A tier that is not known here keeps its name: without a price of its own the reply of `track`
    says ``variant_priced: false``, so that it is seen.

    Raises:
        InvalidRequest: it is no text that fits.
    """
    name = check_text(tier or "", "price_variant").lower()
    return None if name in _PLAIN_VARIANTS else _SAME_VARIANTS.get(name, name)


def to_factor(text: str, path: str) -> str:
    """A name of ``price_factors``, as ``us`` for ``US``.

    Raises:
        InvalidRequest: nothing like a name.
    """
    name = text.lower().replace("-", "_")
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{path} of the reply must be a name", path)
    return name
