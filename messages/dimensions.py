"""The dimensions of a price: what a call has a number of, and what one of it may cost.

One table. Price rows, the counts of a call in a request, in the log and in a reply, what makes two
calls the same, the short names of stored fields and the columns of the log follow it: the code
goes over the table, and forms whose fields callers see typed are held against it by
``tests/unit/test_dimensions.py``.

A new dimension goes behind all others: the first ones are part of digests that are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .scalars import Count, Tokens

Counts = tuple[int | None, ...]
"""What a call says of each dimension of `COUNTED`, in its order; None: nothing."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """Something that a call has a number of.

    Attributes:
        price: its name in a stored price, which is pico-USD of one.
        field: its count in requests, stored calls and log entries; "": each call has one of it.
        short: the name of that field in the log.
        kind: the type of the count with its bounds.
        part_of: the field that counts it too; a part is charged once. A whole comes first.
        absent: how many a call has that does not say, if the price has this dimension.
    """

    price: str
    field: str = ""
    short: str = ""
    kind: Any = Tokens
    part_of: str = ""
    absent: int = 0

    @property
    def cost_field(self) -> str:
        """Its price in requests and replies, in USD of one."""
        return f"cost_per_{self.price}"

    @property
    def is_whole(self) -> bool:
        """Whether it is among the tokens that a call used, which are 0 if it does not say."""
        return self.kind is Tokens and not self.part_of


DIMENSIONS: Final = (
    Dimension("input_token", "tokens_input", "i"),
    Dimension("output_token", "tokens_output", "o"),
    Dimension("cache_read_token", "tokens_cache_read", "cr", part_of="tokens_input"),
    Dimension("cache_write_token", "tokens_cache_write", "cw", part_of="tokens_input"),
    Dimension("reasoning_token", "tokens_reasoning", "tr", part_of="tokens_output"),
    Dimension("request", absent=1),
    Dimension("search", "search_count", "ns", Count, absent=1),
    Dimension("image", "image_count", "ni", Count, absent=1),
    Dimension("page", "page_count", "np", Count, absent=1),
)
COUNTED: Final = tuple(dimension for dimension in DIMENSIONS if dimension.field)
"""Those of which a call says how many it has; tokens of the input and of the output come first."""
TOKEN_PARTS: Final = (
    Dimension("input_audio", "input_audio", part_of="tokens_input"),
    Dimension("input_image", "input_image", part_of="tokens_input"),
    Dimension("input_video", "input_video", part_of="tokens_input"),
    Dimension("output_audio", "output_audio", part_of="tokens_output"),
    Dimension("output_image", "output_image", part_of="tokens_output"),
    Dimension("output_video", "output_video", part_of="tokens_output"),
    Dimension("cache_read_audio", "cache_read_audio", part_of="tokens_cache_read"),
    Dimension("cache_read_image", "cache_read_image", part_of="tokens_cache_read"),
    Dimension("cache_write_long", "cache_write_long", part_of="tokens_cache_write"),
)
"""What tokens may be beside what `DIMENSIONS` has: few calls say it, by name in ``token_parts``."""
PART_NAMES: Final = tuple(part.field for part in TOKEN_PARTS)
TOKEN_PRICES: Final = tuple(
    dimension for dimension in DIMENSIONS if dimension.kind is Tokens and dimension.field
)
"""The dimensions that are tokens, whose prices a tier may replace."""
COUNT_FIELDS: Final = tuple(dimension.field for dimension in COUNTED)
