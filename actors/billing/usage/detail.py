"""What few calls say beside the rest, on its way into the event and out of it.

Only what differs from its default is stored and takes part in what makes two calls the same:
contract 1.1, section 0. So a key that was used before a field was there still matches.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from msgspec.structs import replace

from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.names import counting_then
from actors.billing.catalog.price_list import EXACT, PROVIDER_DEFAULT
from actors.billing.catalog.prices import DEFAULT
from messages.quantities import quantities_of
from messages.scalars import INCLUSIVE, Outcome, TokenCounting
from messages.stored.detail import NO_DETAIL, UsageDetail
from messages.stored.events import UsageRecorded
from messages.usage import Track

FAILED_FROM: Final = 400
"""The status codes from here on are those of calls that failed."""
_SAID: Final = (
    *("outcome", "key", "tags", "token_parts", "token_counting", "price_variant"),
    *("price_factors", "units"),
)
_said_of: Final[Callable[[UsageDetail], tuple[Any, ...]]] = attrgetter(*_SAID)


def said_by(call: Track, units: dict[str, int] | None) -> UsageDetail | None:
    """What a call says beside the rest, None if that is nothing but defaults.

    Args:
        call: the call.
        units: its nano-units by unit, None if there are none.
    """
    status_code = 200 if call.status_code is None else call.status_code
    outcome = None if call.outcome == _default_outcome(status_code) else call.outcome
    parts = {str(name): count for name, count in sorted((call.token_parts or {}).items()) if count}
    factors = tuple(sorted({*(call.price_factors or ())}))
    found = UsageDetail(
        outcome=outcome,
        key=call.key,
        tags=dict(sorted(call.tags.items())) if call.tags else None,
        units=units,
        token_parts=parts or None,
        token_counting=None if call.token_counting == INCLUSIVE else call.token_counting,
        price_variant=call.price_variant or None,
        price_factors=factors or None,
    )
    return None if found == NO_DETAIL else found


def same_detail(call: Track, event: UsageRecorded, catalog: Catalog) -> bool:
    """Whether a call says beside the rest what is stored of one.

    Numbers are compared as numbers: a unit may be archived by now. What the catalogue filled in
    of the names is compared with them.

    Raises:
        InvalidRequest: an amount that no unit can have.
    """
    said = said_by(call, quantities_of(call.units, "units") or None) or NO_DETAIL
    said = replace(said, token_counting=counting_of(call, event, catalog))
    return _said_of(said) == _said_of(event.detail or NO_DETAIL)


def counting_of(call: Track, event: UsageRecorded, catalog: Catalog) -> TokenCounting | None:
    """How a call counts, None if inclusive: what it does not say as it was for a stored one."""
    stored = event.detail or NO_DETAIL
    return counting_then(call.token_counting, stored, event.provider, catalog.providers)


def outcome_of(event: UsageRecorded) -> Outcome:
    """How a stored call ended: as its caller says, else by its status code."""
    said = None if event.detail is None else event.detail.outcome
    return said or _default_outcome(event.status_code)


def found_of(event: UsageRecorded) -> tuple[str | None, str | None]:
    """The model whose row priced a stored call, and by which step that was found; None: none."""
    detail = event.detail or NO_DETAIL
    if detail.matched_by is None:
        return derived_of(event.priced, event.model, estimated=not event.price_version)
    default = DEFAULT if detail.matched_by == PROVIDER_DEFAULT else event.model
    return detail.price_model or default, detail.matched_by


def derived_of(priced: str, model: str, *, estimated: bool) -> tuple[str | None, str | None]:
    """As `found_of`, if no more is said than how a call was priced.

    Args:
        priced: by what.
        model: of the call.
        estimated: whether its price has no version; so a cost that the caller knew has a row too.
    """
    if estimated or priced == "estimate":
        return None, None
    return (DEFAULT, PROVIDER_DEFAULT) if priced == PROVIDER_DEFAULT else (model, EXACT)


def variant_priced_of(event: UsageRecorded) -> bool | None:
    """Whether a stored call was priced by the variant that it asked for, None if by none."""
    detail = event.detail
    if detail is None or detail.price_variant is None:
        return None
    return detail.variant_priced is not False


def _default_outcome(status_code: int) -> Outcome:
    return "failed" if status_code >= FAILED_FROM else "ok"
