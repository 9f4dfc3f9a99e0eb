"""What a call would cost: ``catalog.estimate.cost``. Pure."""

from __future__ import annotations

from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.prices import INPUT, charge
from messages.catalog import EstimateCost, EstimateReply
from messages.dimensions import COUNT_FIELDS
from messages.units import usd


def estimate(catalog: Catalog, ask: EstimateCost, at: int) -> EstimateReply:
    """What a call would cost now; words x 1.3, rounded down, are the input tokens of a text.

    Raises:
        RequestError: ``unknown_provider``.
    """
    provider = catalog.providers.find(ask.provider)
    model = ask.model_used or provider.default_model
    tokens_input = (ask.tokens_input or 0) + len((ask.text or "").split()) * 13 // 10
    said = [getattr(ask, field, None) for field in COUNT_FIELDS]  # parts it does not take
    said[INPUT] = tokens_input
    found = catalog.price(provider.id, model, at)
    cost, cost_input, cost_output = charge(found.price, tuple(said))
    return EstimateReply(
        cost=usd(cost),
        cost_input=usd(cost_input),
        cost_output=usd(cost_output),
        tokens_input=tokens_input,
        tokens_output=ask.tokens_output or 0,
        priced=found.how,
        seq=catalog.seq,
    )
