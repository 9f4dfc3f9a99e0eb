"""What makes two requests the same."""

from __future__ import annotations

import copy
from typing import Any

DEFAULTS = {
    "tokens_input": 0,
    "tokens_output": 0,
    "tokens_requested": 0,
    "calls": 1,
    "ttl": 60,
    "auto_renew": True,
    "overrides": {},
    "at_period_end": True,
    "outcome": "ok",
    "tags": {},
    "token_parts": {},
    "token_counting": "inclusive",
    "price_variant": "",
    "price_factors": [],
    "units": {},
    "units_requested": {},
}


def content_of(body: dict[str, Any]) -> dict[str, Any]:
    """What makes two requests the same: without key and time of the call, defaults left out."""
    return copy.deepcopy(
        {
            name: value
            for name, value in ((name, _said(name, body[name])) for name in body)
            if name not in {"event_id", "timestamp"} and DEFAULTS.get(name) != value
        }
    )


def _said(name: str, value: Any) -> Any:
    if name in {"units", "units_requested"}:
        return {unit: amount for unit, amount in value.items() if amount}
    return value
