"""A known idempotency key: the original reply if the content is the same.

Content is the verb and the decoded body without ``event_id``, ``deadline`` and ``timestamp``,
with defaults filled in and aliases resolved (contract, section 2).
"""

from __future__ import annotations

from typing import Any

from actors.billing.catalog.catalog import Catalog
from actors.billing.changes import CHANGES
from actors.billing.usage.privacy import Privacy
from actors.billing.usage.same_call import same_call
from actors.billing.wire import fast
from messages.errors import RequestError
from messages.stored.events import (
    Event,
    UsageRecorded,
)
from messages.usage import Track


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
        if isinstance(event, UsageRecorded) and same_call(
            command, event, personal, catalog, privacy
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
