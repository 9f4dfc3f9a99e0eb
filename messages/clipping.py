"""Side fields never cost a call: what is too long is cut, what is no text becomes text.

Rules: contract 1.1, section 5. It is tried only if the strict decoder has refused a body, so a
call that fits pays nothing. What counts and what prices stays strict.
"""

from __future__ import annotations

from json import JSONDecoder
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
_PAIRS: Final = msgspec.json.Decoder(dict[str, Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_SEQUENCE: Final = JSONDecoder(object_pairs_hook=list, parse_int=len, parse_float=len)
"""The pairs of an object as they come, each as often as it does; no number is made of digits."""
_NULL: Final = b"null"
_QUOTE: Final = b'"'


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
    if raw == ABSENT:
        return None, True
    if not bytes(raw).startswith(b"{"):
        raise InvalidRequest(f"Expected `object` - at `$.{_METADATA}`", _METADATA)
    try:
        sent = {key: bytes(value) for key, value in _PAIRS.decode(raw).items()}
        found = {key[:METADATA_KEY_MAX]: value for key, value in sent.items()}
        if len(found) < len(sent):  # of equal ones the last stays, and `sent` has where they began
            pairs = _SEQUENCE.decode(bytes(raw).decode())
            found = {key[:METADATA_KEY_MAX]: sent[key] for key, _ in pairs}
        # By code points is by the bytes of UTF-8. Only what is kept is made a text of.
        names = sorted([key for key, value in found.items() if value != _NULL])
        texts = {key: _text_of(found[key]) for key in names[:METADATA_PAIRS_MAX]}
    except ValueError as error:  # as errors of decoding are
        raise InvalidRequest(f"not JSON - at `$.{_METADATA}`", _METADATA) from error
    except RecursionError:
        raise InvalidRequest("nested too deep", _METADATA) from None
    kept = {key: text[:TEXT_MAX] for key, text in texts.items()}
    whole = kept == texts and kept.keys() == sent.keys()
    return kept, whole and all(value.startswith(_QUOTE) for value in sent.values())


def _text_of(value: bytes) -> str:
    """A text, or any other JSON as it was sent."""
    return _TEXT.decode(value) if value.startswith(_QUOTE) else value.decode()
