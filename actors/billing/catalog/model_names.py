"""What the name of a model may be shortened to, to find its price: contract 1.1, section 4.

Pure, and linear in the length of a name. Names are normalised on both sides; only the name that
was sent loses more than that, never the name of a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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


def undated(name: str, provider: str) -> Iterator[Shortened]:
    """What is left of a normalised name, step by step: without region, vendor, date, revision.

    Each step takes off what is there of it, and there is nothing for a step that takes off
    nothing. A date is one of the calendar.
    """
    region = None
    found = _REGION.match(name)
    if found is not None:
        region, name = found[1], name[found.end() :]
        yield Shortened(name, region)
    found = _VENDOR.match(name)
    if found is not None:
        name = name[found.end() :]
        yield Shortened(name, region)
    found = _DATED.search(name)
    if found is not None and _is_day(found):
        name = name[: found.start()]
        yield Shortened(name, region)
    if provider == _GEMINI:
        found = _REVISION.search(name)
        if found is not None:
            yield Shortened(name[: found.start()], region)


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
