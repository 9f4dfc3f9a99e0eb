"""The kinds of values that requests hold: type and range, as the contract has them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Raw

ABSENT: Final = Raw(b"null")
"""A money field that was left out; money is kept as the text of its JSON number."""

Key = Annotated[str, Meta(min_length=1, max_length=128)]
Text = Annotated[str, Meta(max_length=256)]
Endpoint = Annotated[str, Meta(max_length=1024)]
ErrorText = Annotated[str, Meta(max_length=4096)]
Tokens = Annotated[int, Meta(ge=0, le=10**9)]
Count = Annotated[int, Meta(ge=0, le=10**6)]
Size = Annotated[int, Meta(ge=0, le=10**12)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
StatusCode = Annotated[int, Meta(ge=100, le=599)]
Moment = Annotated[datetime, Meta(tz=True)]
PeriodKey = Annotated[str, Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])(\.([2-9]|[1-9][0-9]+))?\Z")]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Text],
    Meta(max_length=16),
]
Version = Annotated[int, Meta(ge=0)]
Calls = Annotated[int, Meta(ge=1, le=1000)]
Ttl = Annotated[int, Meta(ge=1, le=86_400)]
"""Seconds that a hold lasts."""
