"""The kinds of values that requests hold: type and range, as the contract has them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Raw

ABSENT: Final = Raw(b"null")
"""A money field that was left out; money is kept as the text of its JSON number."""

TEXT_MAX: Final = 256
ENDPOINT_MAX: Final = 1024
ERROR_TEXT_MAX: Final = 4096
METADATA_KEY_MAX: Final = 64
"""Of texts, in code points."""
METADATA_PAIRS_MAX: Final = 16

Identifier = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,47}\Z")]
"""The id of a unit, a group, a limit or a tag."""
Key = Annotated[str, Meta(min_length=1, max_length=128)]
Text = Annotated[str, Meta(max_length=TEXT_MAX)]
Endpoint = Annotated[str, Meta(max_length=ENDPOINT_MAX)]
ErrorText = Annotated[str, Meta(max_length=ERROR_TEXT_MAX)]
Tokens = Annotated[int, Meta(ge=0, le=10**9)]
Count = Annotated[int, Meta(ge=0, le=10**6)]
Size = Annotated[int, Meta(ge=0, le=10**12)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
StatusCode = Annotated[int, Meta(ge=100, le=599)]
Moment = Annotated[datetime, Meta(tz=True)]
PeriodKey = Annotated[str, Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])(\.([2-9]|[1-9][0-9]+))?\Z")]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=METADATA_KEY_MAX)], Text],
    Meta(max_length=METADATA_PAIRS_MAX),
]
TAGS_MAX: Final = 8
Tags = Annotated[
    dict[Identifier, Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=TAGS_MAX)
]
UNITS_MAX: Final = 16
Units = Annotated[dict[Identifier, Raw], Meta(max_length=UNITS_MAX)]
"""Amounts by unit, each the text of a JSON number: see `quantities.quantities_of`."""
KeyId = Annotated[str, Meta(min_length=1, max_length=64)]
"""Which API key or device makes a call: an id, never the secret."""
Outcome = Literal["ok", "failed", "cancelled", "unknown"]
"""How a call ended."""
Variant = Annotated[str, Meta(max_length=64)]
"""Another price of a model, as ``batch`` or ``flex``; "": none."""
Factor = Annotated[str, Meta(min_length=1, max_length=48)]
"""The name of a multiplier."""
Factors = Annotated[list[Factor], Meta(max_length=4)]
TokenCounting = Literal["inclusive", "exclusive"]
"""Whether the counts of the cache are inside of the input, or beside it."""
INCLUSIVE: Final = "inclusive"
EXCLUSIVE: Final = "exclusive"
PartName = Literal[
    "input_audio",
    "input_image",
    "input_video",
    "output_audio",
    "output_image",
    "output_video",
    "cache_read_audio",
    "cache_read_image",
    "cache_write_long",
]
"""What tokens may be: see `messages.dimensions.TOKEN_PARTS`."""
TokenParts = dict[PartName, Tokens]
Version = Annotated[int, Meta(ge=0)]
Calls = Annotated[int, Meta(ge=1, le=1000)]
Ttl = Annotated[int, Meta(ge=1, le=86_400)]
"""Seconds that a hold lasts."""
