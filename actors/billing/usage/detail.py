"""What few calls say beside the rest, on its way into the event and out of it.

Only what differs from its default is stored and takes part in what makes two calls the same:
contract 1.1, section 0. So a key that was used before a field was there still matches.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from actors.billing.catalog.catalog import ResolvedModel
from messages.scalars import Outcome
from messages.stored.detail import NO_DETAIL, UsageDetail
from messages.stored.events import UsageRecorded
from messages.usage import Track

FAILED_FROM: Final = 400
"""The status codes from here on are those of calls that failed."""


def detail_of(call: Track, route: ResolvedModel) -> UsageDetail | None:
    """What is stored beside the rest: what a call says, and how its names were found."""
    said = _said(call)
    if said is None or route.detail is None:
        return said or route.detail
    found = route.detail
    return replace(said, alias=found.alias, filled=found.filled, text=found.text)


def _said(call: Track) -> UsageDetail | None:
    """What a call says beside the rest, None if that is nothing but defaults."""
    outcome = call.outcome
    if outcome == _default_outcome(200 if call.status_code is None else call.status_code):
        outcome = None
    tags = dict(sorted(call.tags.items())) if call.tags else None
    if outcome is None and call.key is None and tags is None:
        return None
    return UsageDetail(outcome=outcome, key=call.key, tags=tags)


def same_detail(call: Track, event: UsageRecorded) -> bool:
    """Whether a call says beside the rest what is stored of one."""
    stored = event.detail
    if stored is not None:  # what the catalogue filled in is compared with the names
        stored = replace(stored, alias=None, filled=(), text=False)
    return (_said(call) or NO_DETAIL) == (stored or NO_DETAIL)


def outcome_of(event: UsageRecorded) -> Outcome:
    """How a stored call ended: as its caller says, else by its status code."""
    said = None if event.detail is None else event.detail.outcome
    return said or _default_outcome(event.status_code)


def _default_outcome(status_code: int) -> Outcome:
    return "failed" if status_code >= FAILED_FROM else "ok"
