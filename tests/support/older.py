"""Rows as an older meterd stored them: a call under the full names of its fields."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import asdict

from messages.codec import decode_event, encode_reply
from messages.stored.events import (
    UsageRecorded,
)
from persistence.records import Row

LATER = frozenset({"clipped", "detail"})
"""Fields of a call that came after the form with full names."""

LEFT_OUT = {
    "price_version": 0,
    "cost_nano": 0,
    "cost_input_nano": 0,
    "cost_output_nano": 0,
    "tokens_input": 0,
    "tokens_output": 0,
    "endpoint": "",
    "method": "POST",
    "response_time": 0.0,
    "status_code": 200,
    "retry_count": 0,
    "late": False,
    "alerts": (),
    "late_settle": False,
}
"""The defaults of then that are not None."""


def long_form(event: UsageRecorded) -> str:
    """What was stored of a call."""
    fields = {name: value for name, value in asdict(event).items() if name not in LATER}
    return encode_reply(
        {
            name: value
            for name, value in fields.items()
            if value is not None and value != LEFT_OUT.get(name)
        }
    ).decode()


def as_stored_before(rows: Iterable[Row]) -> list[Row]:
    """The rows of a log as it was then."""
    found = []
    for row in rows:
        event = decode_event(row.kind, row.body)
        if isinstance(event, UsageRecorded):
            found.append(row._replace(body=long_form(event)))
        else:
            found.append(row)
    return found
