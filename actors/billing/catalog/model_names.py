"""What the name of a model may be shortened to, to find its price: contract 1.1, section 4.

Pure, and linear in the length of a name. Names are normalised on both sides; only the name that
was sent loses more than that, never the name of a row.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final, NamedTuple

FINE_TUNED: Final = "ft:"
"""How the name of a fine-tuned model begins: ``ft:<base>:<organisation>:<name>:<id>``."""
_PREFIXES: Final = ("models/", "azure/", "bedrock/", "vertex_ai/")
_PUBLISHER: Final = re.compile(r"publishers/[^/]+/models/")
_REGION: Final = re.compile(r"(us-gov|us|eu|apac|jp|au|global)\.")
_VENDOR: Final = re.compile(r"(?:anthropic|openai|meta|amazon|mistral|cohere|deepseek)\.")
_DATED: Final = re.compile(
    r"(?:-([0-9]{4})-([0-9]{2})-([0-9]{2})|[-@]([0-9]{4})([0-9]{2})([0-9]{2}))(?:-v[0-9]+:[0-9]+)?\Z"
)
_GEMINI: Final = "gemini"
_REVISION: Final = re.compile(r"-00[0-9]\Z")


class Shortened(NamedTuple):
    """What is left of a name, and the region that it had: whose multiplier applies."""

    name: str
    region: str | None


def normalised(name: str, provider: str) -> str:
    """A name trimmed, in lower case, without one prefix that says where a model is served."""
    name = name.strip().lower()
    published = _PUBLISHER.match(name)
    if published is not None:
        return name[published.end() :]
    for prefix in (f"{provider}/", *_PREFIXES):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def undated(name: str, provider: str) -> Shortened | None:
    """What is left of a normalised name without region, vendor, date and revision, in this order.

    Of each it may have one. None if it has none of them. A date is one of the calendar.
    """
    left, region = name, None
    found = _REGION.match(left)
    if found is not None:
        region, left = found[1], left[found.end() :]
    found = _VENDOR.match(left)
    if found is not None:
        left = left[found.end() :]
    found = _DATED.search(left)
    if found is not None and _is_day(found):
        left = left[: found.start()]
    if provider == _GEMINI:
        left = _REVISION.sub("", left)
    return None if left == name else Shortened(left, region)


def fine_tuned(name: str) -> str | None:
    """``ft:<base>`` of the name of a fine-tuned model, None for any other name."""
    if not name.startswith(FINE_TUNED):
        return None
    base = name.removeprefix(FINE_TUNED).partition(":")[0]
    return f"{FINE_TUNED}{base}" if base else None


def _is_day(found: re.Match[str]) -> bool:
    year, month, day = [int(part) for part in found.groups() if part is not None]
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
