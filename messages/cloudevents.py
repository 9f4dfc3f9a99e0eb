"""A ``track`` as a CloudEvent 1.0: its envelope in the body, or in the headers of the message.

Rules: CloudEvents 1.0.2, its JSON format and its binding to NATS. Both forms of an event are the
same content.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec.structs import asdict

from .errors import InvalidRequest
from .moments import cut_text
from .refusals import UNREADABLE, clip, refusal
from .scalars import ABSENT
from .usage import CloudEvent, ConvertedTrack, Envelope, Marked, Track

_DECODER: Final = msgspec.json.Decoder(CloudEvent)
_MARKED_DECODER: Final = msgspec.json.Decoder(Marked)
_MARK: Final = b'"specversion"'
_HEADER: Final = b"ce-"
_JSON: Final = re.compile(
    r"\s*application/(?:[^\s;/+]+(?:\+[^\s;/+]+)*\+)?json\s*(?:;.*)?", re.IGNORECASE | re.DOTALL
)
"""Media types of JSON, with any parameters."""


def is_structured(body: bytes) -> bool:
    """Whether the mark of an envelope is a field of the body, not a part of some text in it."""
    if _MARK not in body:
        return False
    try:
        return _MARKED_DECODER.decode(body).specversion is not ABSENT
    except (ValueError, RecursionError):  # DecodeError is a ValueError
        return False


def structured(body: bytes, decode: Callable[[bytes], Track]) -> Track:
    """The ``track`` in the ``data`` of an envelope.

    Args:
        body: the envelope.
        decode: takes the data.

    Raises:
        InvalidRequest: an invalid envelope, or what ``decode`` raises.
    """
    try:
        event = _DECODER.decode(body)
    except UNREADABLE as error:
        raise refusal(error, CloudEvent, "data") from None
    return _in_envelope(event, decode(bytes(event.data)))


def with_headers(call: Track, headers: bytes) -> Track:
    """The ``track`` of a message in binary mode; as it is if no header is one of a CloudEvent.

    Args:
        call: the body. If it was an envelope itself, that counts.
        headers: the raw block.

    Raises:
        InvalidRequest: invalid headers; ``field`` is the name of the attribute.
    """
    if _HEADER not in headers.lower() or (isinstance(call, ConvertedTrack) and call.source):
        return call
    said = _attributes(headers)
    if not said:
        return call
    if "time" in said:
        said["time"] = cut_text(said["time"])
    try:
        return _in_envelope(msgspec.convert(said, Envelope), call)
    except msgspec.ValidationError as error:
        raise refusal(error, Envelope, None) from None


def _attributes(headers: bytes) -> dict[str, str]:
    """The attributes that headers carry, by name; of equal ones the first counts."""
    found: dict[str, str] = {}
    for line in headers.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if colon and name.startswith(_HEADER):
            attribute = clip(name.removeprefix(_HEADER).decode("utf-8", "replace"))
            try:
                found.setdefault(attribute, unquote_to_bytes(value.strip()).decode())
            except UnicodeDecodeError:
                raise InvalidRequest(f"the header ce-{attribute} is not UTF-8", attribute) from None
    return found


def _in_envelope(envelope: Envelope, call: Track) -> ConvertedTrack:
    kind = envelope.datacontenttype
    if kind is not None and not _JSON.fullmatch(kind):
        raise InvalidRequest(
            f"datacontenttype is {clip(kind, 64)!r}; allowed: application/json, application/*+json",
            "datacontenttype",
        )
    sent: dict[str, Any] = asdict(call)
    moment: datetime | None = call.timestamp or envelope.time
    sent |= {"event_id": call.event_id or envelope.id, "timestamp": moment}
    sent["source"] = envelope.source
    return ConvertedTrack(**sent)
