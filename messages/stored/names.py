"""Short names in the log: a name is stored with every row, and nearly every row is a call."""

from __future__ import annotations

from typing import Final

from ..dimensions import COUNTED

USAGE_NAMES: Final = {
    "provider": "p",
    "actual": "a",
    "model": "m",
    "billing_period": "b",
    "status": "s",
    "priced": "h",
    "price_version": "v",
    "cost_nano": "c",
    "cost_input_nano": "ci",
    "cost_output_nano": "co",
    "cost_catalog_nano": "cc",
    **{dimension.field: dimension.short for dimension in COUNTED},
    "endpoint": "e",
    "method": "me",
    "response_time": "r",
    "status_code": "sc",
    "request_size": "qs",
    "response_size": "rs",
    "retry_count": "rc",
    "timestamp": "t",
    "hold_status": "hs",
    "detail": "d",
}
"""What fields of a call are called in the log; those that few calls have keep their name."""
