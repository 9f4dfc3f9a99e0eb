"""What rows opened that is over: what their bodies say of it."""

from __future__ import annotations

import json
from typing import Final

FIRST_ROWS: Final = 4
"""Rows behind an opening one among which nearly always one fills it."""
MORE_ROWS: Final = 1_000


def said(body: str, path: str) -> object:
    """What a body has at a path of names, None if it has nothing or is no JSON."""
    try:
        found = json.loads(body)
        for name in path.removeprefix("$.").split("."):
            found = found[name]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return found
