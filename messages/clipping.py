"""Side fields never cost a call: what is too long is cut, what is no text becomes text.

Rules: contract 1.1, section 5. It is tried only if the strict decoder has refused a body, so a
call that fits pays nothing. What counts and what prices stays strict.
"""

from __future__ import annotations

from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import FieldInfo, asdict, fields

from .errors import InvalidRequest
from .scalars import (
    ABSENT,
    ENDPOINT_MAX,
    ERROR_TEXT_MAX,
    METADATA_KEY_MAX,
    METADATA_PAIRS_MAX,
    TEXT_MAX,
)
from .usage import SIDE_FIELDS, ConvertedTrack, Track

_METADATA: Final = "metadata"
_LENGTHS: Final = {
    "endpoint": ENDPOINT_MAX,
    "method": TEXT_MAX,
    "user_agent": TEXT_MAX,
    "ip_address": TEXT_MAX,
    "error_message": ERROR_TEXT_MAX,
}
"""The texts that are cut, and at how many code points."""
assert {*_LENGTHS, "cost", _METADATA} == {*SIDE_FIELDS}


def _wide(field: FieldInfo) -> tuple[str, Any] | tuple[str, Any, Any]:
    """A field of a call, without a bound if it is a side field."""
    if field.name == _METADATA:
        return field.name, Raw, ABSENT
    kind = str | None if field.name in _LENGTHS else field.type
    return (field.name, kind) if field.required else (field.name, kind, field.default)


_WIDE: Final = msgspec.defstruct(
    "WideTrack",
    [_wide(field) for field in fields(Track)],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)
_DECODER: Final = msgspec.json.Decoder(_WIDE)


def _skipped(_: str) -> None:
    """Make nothing of a number: its text is all that is wanted of it."""


_SCANNER: Final = JSONDecoder(strict=False, parse_int=_skipped, parse_float=_skipped)


def clipped_track(body: bytes) -> ConvertedTrack:
    """A ``track`` whose side fields are cut to what the strict decoder takes.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: as the strict decoder.
        InvalidRequest: metadata that is not an object, or not JSON.
    """
    sent = asdict(_DECODER.decode(body))
    found = set()
    for name, length in _LENGTHS.items():
        text = sent[name]
        if text is not None and len(text) > length:
            sent[name] = text[:length]
            found.add(name)
    metadata, as_sent = _fitting(sent[_METADATA])
    if not as_sent:
        found.add(_METADATA)
    sent[_METADATA] = metadata
    return ConvertedTrack(**sent, clipped=tuple([name for name in SIDE_FIELDS if name in found]))


def _fitting(raw: Raw) -> tuple[dict[str, str] | None, bool]:
    """The metadata as they are kept, and whether that is all that was sent."""
    text = bytes(raw).decode()
    if text == "null":
        return None, True
    if not text.startswith("{"):
        raise InvalidRequest(f"Expected `object` - at `$.{_METADATA}`", _METADATA)
    try:
        pairs = list(_pairs(text))
        found = {key[:METADATA_KEY_MAX]: value for key, value in pairs}  # of equal ones the last
        # By code points is by the bytes of UTF-8.
        names = sorted([key for key, value in found.items() if value is not None])
        kept = {key: (found[key] or "")[:TEXT_MAX] for key in names[:METADATA_PAIRS_MAX]}
        for part in (*kept, *kept.values()):
            part.encode()  # half of a surrogate pair is no text
    except (JSONDecodeError, UnicodeEncodeError) as error:
        raise InvalidRequest(f"not JSON - at `$.{_METADATA}`", _METADATA) from error
    except RecursionError:
        raise InvalidRequest("nested too deep", _METADATA) from None
    return kept, kept == {key: value for key, value in pairs if _is_text(value)} == dict(pairs)


class _Text(str):
    """What was sent as a text, not made one."""

    __slots__ = ()


def _is_text(value: str | None) -> bool:
    return type(value) is _Text


def _pairs(text: str) -> Iterator[tuple[str, str | None]]:
    """The pairs of a JSON object as they come: a text, or the JSON as sent; None for null."""
    at = _past_space(text, 1)
    while text[at] != "}":
        key, at = _SCANNER.raw_decode(text, at)
        at = _past_space(text, _past_space(text, at) + 1)  # behind the colon
        value, end = _SCANNER.raw_decode(text, at)
        sent = text[at:end]
        yield key, _Text(value) if isinstance(value, str) else None if sent == "null" else sent
        at = _past_space(text, end)
        if text[at] == ",":
            at = _past_space(text, at + 1)


def _past_space(text: str, at: int) -> int:
    while text[at] in " \t\n\r":
        at += 1
    return at
