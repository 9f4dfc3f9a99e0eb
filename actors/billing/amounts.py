"""What is counted: calls, tokens and cost in nano-USD, in this order everywhere."""

from __future__ import annotations

from typing import Final

CALLS: Final = 0
TOKENS: Final = 1
COST: Final = 2
UNITS: Final = ("calls", "tokens", "cost")
