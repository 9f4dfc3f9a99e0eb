"""A known idempotency key: the original reply where the content is the same.

Content is the verb and the decoded body without ``event_id``, ``deadline`` and ``timestamp``,
with defaults filled in and aliases resolved (contract, section 2).
"""

from __future__ import annotations

from typing import Any, Final

from actors.billing.catalog.catalog import Catalog
from actors.billing.changes import CHANGES
from actors.billing.usage.privacy import Privacy, personal_of
from actors.billing.wire import fast
from messages.codec import decode_personal, money_of
from messages.errors import RequestError
from messages.stored.events import ERASED, Event, Personal, UsageRecorded
from messages.usage import CloudTrack, Track

_NOTHING: Final = Personal()


def original(
    command: Any,
    event: Event,
    personal: str | None,
    key: str,
    seq: int,
    at: int,
    catalog: Catalog,
    privacy: Privacy | None = None,
) -> bytes:
    """The encoded reply that the event of this key had.

    Raises:
        RequestError: ``idempotency_mismatch``, or ``invalid_request`` for an invalid amount.
    """
    if isinstance(command, Track):
        if (
            isinstance(event, UsageRecorded)
            and _same_call(command, event, catalog)
            and _same_personal(command, personal, privacy)
        ):
            return fast.tracked(event, key, seq, duplicate=True)
        raise mismatch(key)
    change = CHANGES.get(type(command))  # a batch has none: its events have keys of their own
    if change is None or not change.is_same(command, event, catalog):
        raise mismatch(key)
    return fast.reply(change.reply(event, at), key, seq, duplicate=True)


def mismatch(key: str) -> RequestError:
    """The error for a key that was used before, for something else."""
    return RequestError(
        "idempotency_mismatch",
        "this event_id was used before, for other content",
        field="event_id",
        event_id=key,
    )


def _same_call(call: Track, event: UsageRecorded, catalog: Catalog) -> bool:
    billed = money_of(call.cost, "cost")
    try:
        provider = catalog.providers.find(call.provider)
    except RequestError:
        return False
    return (
        provider.name == event.provider
        and (call.model_used or provider.default_model) == event.model
        and provider.actual_of(call.actual_provider_name, call.model_used, call.endpoint)
        == event.actual
        and billed == (event.cost_nano if event.priced == "caller" else None)
        and (call.tokens_input or 0) == event.tokens_input
        and (call.tokens_output or 0) == event.tokens_output
        and (call.tokens_cache_read or 0) == (event.tokens_cache_read or 0)
        and (call.tokens_cache_write or 0) == (event.tokens_cache_write or 0)
        and (call.tokens_reasoning or 0) == (event.tokens_reasoning or 0)
        and call.search_count == event.search_count
        and call.image_count == event.image_count
        and call.page_count == event.page_count
        and (call.endpoint or "") == event.endpoint
        and ("POST" if call.method is None else call.method) == event.method
        and (call.response_time or 0.0) == event.response_time
        and (200 if call.status_code is None else call.status_code) == event.status_code
        and call.request_size == event.request_size
        and call.response_size == event.response_size
        and (call.retry_count or 0) == event.retry_count
        and call.hold_id == event.hold_id
        and (call.source if isinstance(call, CloudTrack) else None) == event.source
    )


def _same_personal(call: Track, personal: str | None, privacy: Privacy | None) -> bool:
    if personal == ERASED:
        return True  # erased: it cannot be compared any more
    said = personal_of(call) or _NOTHING
    about = decode_personal(personal) or _NOTHING
    return said == about if privacy is None else privacy.same(said, about)
