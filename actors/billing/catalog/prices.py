"""What a call costs: prices in pico-USD per unit, charges in nano-USD, rounded once.

The formula is the contract's, section 3, ``track``: "Price" and "Charge".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from messages.errors import InvalidRequest
from messages.units import PICO_PER_NANO, round_half_even
from messages.usage import Track


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One row of the price list, valid from a moment on; pico-USD per unit, None: not priced."""

    provider: str
    model: str
    version: int
    effective_from: int
    input_token: int | None = None
    output_token: int | None = None
    cache_read_token: int | None = None
    cache_write_token: int | None = None
    reasoning_token: int | None = None
    request: int | None = None
    search: int | None = None
    image: int | None = None
    page: int | None = None


ESTIMATE_PICO_PER_TOKEN: Final = 10**6
"""1 USD per million tokens: what a call without a price costs."""

ESTIMATE: Final = Price(
    provider="",
    model="",
    version=0,
    effective_from=0,
    input_token=ESTIMATE_PICO_PER_TOKEN,
    output_token=ESTIMATE_PICO_PER_TOKEN,
)


Charge = tuple[int, int, int]
"""A priced call in nano-USD: in all, and its input and output tokens, which are for display."""


def check_parts(call: Track) -> None:
    """Refuse a call with a part larger than its whole.

    Raises:
        InvalidRequest: naming the part.
    """
    if call.tokens_cache_read or call.tokens_cache_write:
        whole = call.tokens_input or 0
        read = call.tokens_cache_read or 0
        if read > whole:
            raise InvalidRequest("tokens_cache_read is over tokens_input", "tokens_cache_read")
        if read + (call.tokens_cache_write or 0) > whole:
            raise InvalidRequest(
                "tokens_cache_read and tokens_cache_write are over tokens_input",
                "tokens_cache_write",
            )
    if call.tokens_reasoning and call.tokens_reasoning > (call.tokens_output or 0):
        raise InvalidRequest("tokens_reasoning is over tokens_output", "tokens_reasoning")


def charge(price: Price, call: Track) -> Charge:
    """Price a call exactly.

    Cached and reasoning tokens are parts of the input and the output and are priced once; a
    price that the row lacks is the row's input or output price. A unit that the row prices
    and the call does not count is counted as one.
    """
    per_input = price.input_token or 0
    per_output = price.output_token or 0
    part_in = (call.tokens_input or 0) * per_input
    part_out = (call.tokens_output or 0) * per_output
    if call.tokens_cache_read and price.cache_read_token is not None:
        part_in += call.tokens_cache_read * (price.cache_read_token - per_input)
    if call.tokens_cache_write and price.cache_write_token is not None:
        part_in += call.tokens_cache_write * (price.cache_write_token - per_input)
    if call.tokens_reasoning and price.reasoning_token is not None:
        part_out += call.tokens_reasoning * (price.reasoning_token - per_output)
    total = part_in + part_out + (price.request or 0)
    if price.search is not None:
        total += price.search * (1 if call.search_count is None else call.search_count)
    if price.image is not None:
        total += price.image * (1 if call.image_count is None else call.image_count)
    if price.page is not None:
        total += price.page * (1 if call.page_count is None else call.page_count)
    if total % PICO_PER_NANO or part_in % PICO_PER_NANO or part_out % PICO_PER_NANO:
        return (
            round_half_even(total, PICO_PER_NANO),
            round_half_even(part_in, PICO_PER_NANO),
            round_half_even(part_out, PICO_PER_NANO),
        )
    # Nearly always there is nothing to round.
    return total // PICO_PER_NANO, part_in // PICO_PER_NANO, part_out // PICO_PER_NANO


def estimate(price: Price, tokens: int, calls: int) -> int:
    """What calls not made yet may cost, in nano-USD: the dearer token price for all tokens."""
    per_token = max(price.input_token or 0, price.output_token or 0)
    return round_half_even(tokens * per_token + calls * (price.request or 0), PICO_PER_NANO)
