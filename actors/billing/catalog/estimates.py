"""What a call would cost: ``catalog.estimate.cost``. Pure."""

from __future__ import annotations

from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.charging import (
    Used,
    charge_in_full,
    check_parts,
    counted_inside,
    with_parts,
)
from actors.billing.catalog.rates import INPUT, OUTPUT
from actors.billing.catalog.units import units_of
from messages.dimensions import COUNT_FIELDS, Counts
from messages.prices import (
    EstimateCost,
    EstimateReply,
)
from messages.scalars import EXCLUSIVE
from messages.units import usd


def estimate(catalog: Catalog, ask: EstimateCost, at: int) -> EstimateReply:
    """What a call would cost now; words x 1.3, rounded down, are the input tokens of a text.

    Raises:
        RequestError: ``unknown_provider``, or ``invalid_request``: parts over their whole.
    """
    provider = catalog.providers.find(ask.provider)
    model = ask.model_used or provider.default_model
    said = [getattr(ask, field) for field in COUNT_FIELDS]
    said[INPUT] = (ask.tokens_input or 0) + len((ask.text or "").split()) * 13 // 10
    counts: Counts = tuple(said)
    if (ask.token_counting or provider.token_counting) == EXCLUSIVE:
        counts = counted_inside(counts)
    parts = {str(name): count for name, count in (ask.token_parts or {}).items()}
    everything = with_parts(counts, parts)
    check_parts(everything)
    found = catalog.price(provider.id, model, at, ask.price_variant or "")
    factors = ask.price_factors or ()
    units = units_of(ask.units, "units", catalog.units) or {}
    used = Used(everything, units, factors, found.region)
    (cost, cost_input, cost_output), tier, unpriced = charge_in_full(found.price, used)
    return EstimateReply(
        cost=usd(cost),
        cost_input=usd(cost_input),
        cost_output=usd(cost_output),
        tokens_input=counts[INPUT] or 0,
        tokens_output=counts[OUTPUT] or 0,
        priced=found.how,
        price_model=None if found.matched_by is None else found.price.model,
        matched_by=found.matched_by,
        variant_priced=found.price.variant == ask.price_variant if ask.price_variant else None,
        tier=tier,
        unpriced=unpriced,
        seq=catalog.seq,
    )
