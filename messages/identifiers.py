"""Names that callers give to things of their own: contract 1.1, section 1."""

from __future__ import annotations

import re
from typing import Final

PROVIDER_PATTERN: Final = r"[a-z0-9][a-z0-9_.-]{0,63}"
"""Of the id of a provider."""
WORD_PATTERN: Final = r"[a-z][a-z0-9_]{0,47}"
"""Of the id of a unit, a group, a limit or the key of a tag."""
RESERVED: Final = frozenset({"monthly", "ai_text_generation", "default", "other", "total", "all"})
"""What no provider is called: limits and sums have these names."""
LIMIT_ENDS: Final = ("_calls", "_tokens", "_cost")
"""How the name of a limit ends, and so that of no provider: ``x_calls_calls`` says nothing."""

_PROVIDER: Final = re.compile(PROVIDER_PATTERN)
_WORD: Final = re.compile(WORD_PATTERN)


def is_provider_id(text: str) -> bool:
    """Whether a provider may have this id."""
    return (
        _PROVIDER.fullmatch(text) is not None
        and not text.endswith(LIMIT_ENDS)
        and text not in RESERVED
    )


def is_word(text: str) -> bool:
    """Whether a unit, a group, a limit or the key of a tag may have this name."""
    return _WORD.fullmatch(text) is not None
