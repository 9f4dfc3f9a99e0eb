"""A call priced in full: what it says, how its price was found, and what that leaves open."""

from __future__ import annotations

from msgspec.structs import replace

from actors.billing.catalog.catalog import Catalog, ResolvedModel
from actors.billing.catalog.charging import (
    Charge,
    Used,
    charge_in_full,
    check_parts,
    counted_inside,
    with_parts,
)
from actors.billing.catalog.names import COUNTING
from actors.billing.catalog.price_list import EXACT, PROVIDER_DEFAULT, Priced
from actors.billing.catalog.units import units_of
from actors.billing.usage.detail import FAILED_FROM, said_by
from messages.dimensions import Counts
from messages.scalars import EXCLUSIVE
from messages.stored.detail import NO_DETAIL, UsageDetail
from messages.usage import Track


def charged(
    call: Track, counts: Counts, route: ResolvedModel, moment: int, catalog: Catalog
) -> tuple[Counts, Priced, Charge, UsageDetail | None]:
    """Price a call by all that it says.

    Args:
        call: the call.
        counts: those of the call as it was sent.
        route: what its names come to.
        moment: of the price.
        catalog: the prices.

    Returns:
        Its counts with what the cache had inside of the input, its price, the charge, and what
        its event says beside the rest.

    Raises:
        RequestError: ``invalid_request``: a part is larger than its whole, or the input too large;
            as `units_of`.
    """
    units = units_of(call.units, "units", catalog.units)
    said = _with_names(said_by(call, units) or NO_DETAIL, call, route)
    variant = said.price_variant or ""
    found = catalog.priced(route, moment, variant)
    if said.token_counting == EXCLUSIVE:
        counts = counted_inside(counts)
    everything = with_parts(counts, said.token_parts)
    check_parts(everything)
    failed = call.status_code is not None and call.status_code >= FAILED_FROM
    used = Used(everything, units or {}, said.price_factors or (), found.region, failed)
    cost, tier, unpriced = charge_in_full(found.price, used)
    priced = None if not variant or found.price.variant == variant else False
    detail = replace(said, tier=tier, unpriced=unpriced, variant_priced=priced)
    return counts, found, cost, None if detail == NO_DETAIL else detail


def _with_names(said: UsageDetail, call: Track, route: ResolvedModel) -> UsageDetail:
    """What a call says, with what the catalogue filled in of it."""
    found = route.detail
    if found is not None:
        said = replace(said, alias=found.alias, filled=found.filled, text=found.text)
    if call.token_counting is None and not route.plain:
        said = replace(said, token_counting=EXCLUSIVE, filled=(*said.filled, COUNTING))
    return said


def with_found(detail: UsageDetail | None, found: Priced, *, billed: bool) -> UsageDetail | None:
    """A detail that has how a price was found, if ``priced`` does not say it.

    Args:
        detail: what is there.
        found: the price.
        billed: whether ``priced`` says that the caller knew the cost.
    """
    how = found.matched_by
    if how is None or how == EXACT or (how == PROVIDER_DEFAULT and not billed):
        return detail
    model = None if how == PROVIDER_DEFAULT else found.price.model
    return replace(detail or NO_DETAIL, price_model=model, matched_by=how)
