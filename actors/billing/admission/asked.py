"""What a request asks for beside calls and tokens, and what that may cost: contract 1.1, section 4.

Calls that say nothing but their tokens are priced by `catalog.charging.estimate`; this is the whole
rule. Counts are those of one call.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from actors.billing.catalog.charging import (
    Ahead,
    Used,
    charge_in_full,
    check_parts,
    counted_inside,
    with_parts,
)
from actors.billing.catalog.price_list import Priced
from actors.billing.catalog.rates import INPUT, OUTPUT
from messages.admission import Enforce
from messages.dimensions import COUNT_FIELDS, COUNTED, Counts
from messages.errors import InvalidRequest
from messages.quantities import quantities_of
from messages.scalars import EXCLUSIVE, INCLUSIVE, Tokens
from messages.stored.detail import NO_HOLD_DETAIL, HoldDetail, PriceThen
from messages.stored.events import HoldExtended, HoldPlaced

CALLER: Final = "caller"
"""How a call is priced whose caller says what it costs."""
_TOKENS: Final = frozenset([counted.field for counted in COUNTED if counted.kind is Tokens])


class Found(NamedTuple):
    """How the price of a call that may be made was found; see the fields of a reply."""

    priced: str | None
    model: str | None
    matched_by: str | None
    unpriced: tuple[str, ...] = ()


class Derived(NamedTuple):
    """What a call may take: its tokens, its cost in nano-USD, and what has no price."""

    tokens: int
    cost: int
    unpriced: tuple[str, ...]


def asked_by(ask: Enforce) -> HoldDetail | None:
    """What a request says beside the rest, None if that is nothing but defaults.

    No tokens are what a call has that says nothing of them; no searches are less than nothing said.

    Raises:
        InvalidRequest: an amount that no unit can have. Which units there are is not known here.
    """
    said = {name: getattr(ask, name) for name in COUNT_FIELDS}
    counts = {
        name: count
        for name, count in said.items()
        if count is not None and (count or name not in _TOKENS)
    }
    parts = {str(name): count for name, count in sorted((ask.token_parts or {}).items()) if count}
    factors = tuple(sorted({*(ask.price_factors or ())}))
    found = HoldDetail(
        key=ask.key,
        tags=dict(sorted(ask.tags.items())) if ask.tags else None,
        counts=counts or None,
        token_parts=parts or None,
        token_counting=None if ask.token_counting == INCLUSIVE else ask.token_counting,
        price_variant=ask.price_variant or None,
        price_factors=factors or None,
        units=quantities_of(ask.units_requested, "units_requested") or None,
    )
    return None if found == NO_HOLD_DETAIL else found


def may_take(detail: HoldDetail | None, tokens: int | None, calls: int, found: Priced) -> Derived:
    """What calls may take by a price.

    Args:
        detail: what is said of each, beside the tokens.
        tokens: how many are asked for, None if that is not said.
        calls: how many.
        found: the price.

    Raises:
        InvalidRequest: parts over their whole, or fewer tokens than the counts come to.
    """
    said = detail or NO_HOLD_DETAIL
    counts = counts_of(said)
    everything = with_parts(counts, said.token_parts)
    check_parts(everything)
    used = Used(everything, said.units or {}, said.price_factors or (), found.region)
    counted = tokens_of(said)
    if not any(name in _TOKENS for name in said.counts or ()):
        wanted = tokens or 0
        ahead = Ahead(calls=calls, shared=wanted, size=wanted)
    else:
        wanted = counted if tokens is None else tokens
        if wanted < counted:
            raise InvalidRequest(
                "tokens_requested is below the tokens of the call", "tokens_requested"
            )
        ahead = Ahead(calls=calls, each=wanted - counted, size=wanted)
    charged = charge_in_full(found.price, used, ahead)
    return Derived(wanted, charged.charge[0], charged.unpriced)


def counts_of(detail: HoldDetail) -> Counts:
    """The counts of a call to be made, with what the cache has inside of the input.

    Raises:
        InvalidRequest: the input is larger than a call may have then.
    """
    said = detail.counts or {}
    counts: Counts = tuple([said.get(name) for name in COUNT_FIELDS])
    return counted_inside(counts) if detail.token_counting == EXCLUSIVE else counts


def tokens_of(detail: HoldDetail) -> int:
    """The tokens that the counts of a call come to.

    Raises:
        InvalidRequest: as `counts_of`.
    """
    counts = counts_of(detail)
    return (counts[INPUT] or 0) + (counts[OUTPUT] or 0)


def found_of(found: Priced, unpriced: tuple[str, ...], *, derived: bool) -> Found:
    """How the price of a call was found, for its reply."""
    how = found.matched_by
    model = None if how is None else found.price.model
    return Found(found.how if derived else CALLER, model, how, unpriced)


def price_then(found: Found, model: str | None = None) -> PriceThen:
    """How the price of a hold was found, as it is stored.

    Args:
        found: how.
        model: of the call, if the event has it.
    """
    named = None if found.model == model else found.model
    return PriceThen(found.priced or "", found.matched_by, named, found.unpriced)


def found_then(event: HoldPlaced | HoldExtended) -> Found:
    """How the price of a hold was found, of what is stored of it."""
    then = event.price
    if then is None:  # stored before it was said
        return Found(None, None, None)
    named = then.model
    if named is None and then.matched_by is not None and isinstance(event, HoldPlaced):
        named = event.model
    return Found(then.priced, named, then.matched_by, then.unpriced)
