"""Whether a ``track`` is the one that the log has under its key: contract, section 2.

Content is the decoded body without ``event_id``, ``deadline`` and ``timestamp``, with defaults
filled in and aliases resolved. The log has every field of it, so no digest is kept.
"""

from __future__ import annotations

from typing import Final

from actors.billing.catalog.catalog import Catalog
from actors.billing.usage.privacy import Privacy, personal_of
from messages.codec import decode_personal, money_of
from messages.dimensions import COUNTED
from messages.errors import RequestError
from messages.stored.events import ERASED, Personal, UsageRecorded
from messages.usage import CloudTrack, Track

_NOTHING: Final = Personal()
_COUNTS: Final = tuple((counted.field, counted.absent) for counted in COUNTED)
_FIELDS: Final[tuple[tuple[str, object], ...]] = (
    ("endpoint", ""),
    ("method", "POST"),
    ("response_time", 0.0),
    ("status_code", 200),
    ("request_size", None),
    ("response_size", None),
    ("retry_count", 0),
    ("hold_id", None),
)
"""What the log has as it was sent, with what it has where nothing was."""


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
        _same_priced(call, event, catalog)
        and _same_counts(call, event)
        and all(
            (empty if (said := getattr(call, field)) is None else said) == getattr(event, field)
            for field, empty in _FIELDS
        )
        and (call.source if isinstance(call, CloudTrack) else None) == event.source
        and _same_personal(call, personal, privacy)
    )


def _same_priced(call: Track, event: UsageRecorded, catalog: Catalog) -> bool:
    billed = money_of(call.cost, "cost")
    try:
        provider = catalog.providers.find(call.provider)
    except RequestError:
        return False
    actual = provider.actual_of(call.actual_provider_name, call.model_used, call.endpoint)
    return (
        provider.name == event.provider
        and (call.model_used or provider.default_model) == event.model
        and actual == event.actual
        and billed == (event.cost_nano if event.priced == "caller" else None)
    )


def _same_counts(call: Track, event: UsageRecorded) -> bool:
    for field, absent in _COUNTS:
        said, stored = getattr(call, field), getattr(event, field)
        # Where nothing said counts as none, 0 says the same; else it is a number of its own.
        if said != stored and (absent or (said or 0) != (stored or 0)):
            return False
    return True


def _same_personal(call: Track, personal: str | None, privacy: Privacy | None) -> bool:
    if personal == ERASED:
        return True  # erased: it cannot be compared any more
    said = personal_of(call) or _NOTHING
    about = decode_personal(personal) or _NOTHING
    return said == about if privacy is None else privacy.same(said, about)
