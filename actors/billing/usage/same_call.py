"""Whether a ``track`` is the one that the log has under its key: contract, section 2.

Content is the decoded body without ``event_id``, ``deadline`` and ``timestamp``, with defaults
filled in and aliases resolved. The log has every field of it, so no digest is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final

from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.charging import counted_inside
from actors.billing.catalog.names import NOT_TOLD, Names, Said, Told, names_then
from actors.billing.usage.detail import counting_of, same_detail
from actors.billing.usage.privacy import Privacy, personal_of
from messages.codec import billed_of, decode_personal
from messages.dimensions import COUNT_FIELDS, COUNTED, Counts
from messages.scalars import EXCLUSIVE
from messages.stored.events import (
    ERASED,
    Personal,
    UsageRecorded,
)
from messages.usage import ConvertedTrack, Track

_NOTHING: Final = Personal()
_ABSENT: Final = tuple([counted.absent for counted in COUNTED])
_counts_of: Final[Callable[[Track | UsageRecorded], Counts]] = attrgetter(*COUNT_FIELDS)


def same_call(
    call: Track,
    event: UsageRecorded,
    personal: str | None,
    catalog: Catalog,
    privacy: Privacy | None = None,
) -> bool:
    """Whether a call says what is stored of one, and about persons what their rule left of it.

    Args:
        call: the call.
        event: what is stored.
        personal: the stored personal fields as JSON text.
        catalog: its providers have the aliases.
        privacy: the rule for personal fields; None keeps them.

    Raises:
        InvalidRequest: an invalid cost.
    """
    return (
        _same_fields(call, event, catalog)
        and _same_counts(_said_by(call, event, catalog), _counts_of(event))
        and same_detail(call, event, catalog)
        and _same_personal(call, personal, privacy)
    )


def _same_fields(call: Track, event: UsageRecorded, catalog: Catalog) -> bool:
    billed, _ = billed_of(call.cost)
    said = Said(call.provider, call.model_used, call.actual_provider_name, call.endpoint)
    stored, detail = Names(event.provider, event.actual, event.model), event.detail
    told = NOT_TOLD if detail is None else Told(detail.alias, detail.filled)
    return (
        names_then(said, stored, told, catalog.providers) == stored
        and billed == (event.cost_nano if event.priced == "caller" else None)
        and (call.endpoint or "") == event.endpoint
        and ("POST" if call.method is None else call.method) == event.method
        and (call.response_time or 0.0) == event.response_time
        and (200 if call.status_code is None else call.status_code) == event.status_code
        and call.request_size == event.request_size
        and call.response_size == event.response_size
        and (call.retry_count or 0) == event.retry_count
        and call.hold_id == event.hold_id
        and (call.source if isinstance(call, ConvertedTrack) else None) == event.source
    )


def _said_by(call: Track, event: UsageRecorded, catalog: Catalog) -> Counts:
    """The counts of a call as they are stored."""
    said = _counts_of(call)
    return counted_inside(said) if counting_of(call, event, catalog) == EXCLUSIVE else said


def _same_counts(said: Counts, stored: Counts) -> bool:
    """Whether the counts are the same; nothing said is 0, if that is what it counts as."""
    if said == stored:  # nearly always
        return True
    return all(
        ours == theirs or (not absent and (ours or 0) == (theirs or 0))
        for ours, theirs, absent in zip(said, stored, _ABSENT, strict=True)
    )


def _same_personal(call: Track, personal: str | None, privacy: Privacy | None) -> bool:
    if personal == ERASED:
        return True  # erased: it cannot be compared any more
    said = personal_of(call) or _NOTHING
    about = decode_personal(personal) or _NOTHING
    return said == about if privacy is None else privacy.same(said, about)
