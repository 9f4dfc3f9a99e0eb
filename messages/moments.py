"""Times that a body has finer than a microsecond: cut off, as the contract says in section 2.

msgspec rounds them to the nearest microsecond, so a moment just before the end of a period would
be that end, which belongs to the next one. Such times are rare: `may_be_finer` looks at a body,
and only one that may have some is taken apart.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

_FINER: Final = re.compile(rb"\.[0-9]{7,}[Zz+-]").search
_PARTS: Final = re.compile(r"(.+\.[0-9]{6})([0-9]+)([Zz]|[+-][0-9:]+)", re.ASCII)
MOMENTS: Final = ("timestamp", "deadline", "period_start", "effective_from", "since", "until")
"""The fields of commands that are times."""
_TIMES: Final = frozenset({*MOMENTS, "time"})
_BOUNDS: Final = frozenset({"since", "until"})
"""Compared with whole microseconds as they were sent: those from one on, or before it, are those
from the next whole one on, or before that."""
_MICROSECOND: Final = timedelta(microseconds=1)

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_UNREADABLE: Final = (ValueError, RecursionError)
"""What invalid JSON raises here: the decoder of the command then says what is wrong with it."""


def may_be_finer(body: bytes) -> bool:
    """Whether a body may have a time that is finer than a microsecond.

    Escapes could hide its digits; those of letters begin otherwise, but for few.
    """
    return _FINER(body) is not None or (b"\\" in body and b"\\u00" in body)


def cut(body: bytes) -> bytes:
    """The same body, its times whole microseconds; as it is if there is nothing to cut.

    The ``data`` of a CloudEvent is a body, too. The events of a batch are decoded by themselves.
    """
    return _cut(body, inner=True)


def cut_text(text: str) -> str:
    """The text of a time to whole microseconds; any other text as it is."""
    parts = _PARTS.fullmatch(text)
    return text if parts is None else parts[1] + parts[3]


def _cut(body: bytes, *, inner: bool) -> bytes:
    try:
        fields = _OBJECT.decode(body)
    except _UNREADABLE:
        return body
    changed: dict[str, msgspec.Raw] = {}
    for name, raw in fields.items():
        sent = bytes(raw)
        found = _cut(sent, inner=False) if inner and name == "data" else _cut_text(name, sent)
        if found != sent:
            changed[name] = msgspec.Raw(found)
    return msgspec.json.encode(fields | changed) if changed else body


def _cut_text(name: str, sent: bytes) -> bytes:
    """A field as it was sent, or its whole microseconds."""
    if name not in _TIMES:
        return sent
    try:
        parts = _PARTS.fullmatch(_TEXT.decode(sent))
    except _UNREADABLE:
        return sent
    if parts is None:
        return sent
    whole = parts[1] + parts[3]
    if name in _BOUNDS and parts[2].strip("0"):
        whole = _next(whole)
    return msgspec.json.encode(whole)


def _next(text: str) -> str:
    """The microsecond after that of a time, the last one of all if there is none."""
    try:
        moment = msgspec.convert(text, datetime)
        return (moment.astimezone(UTC) + _MICROSECOND).isoformat()
    except (ValueError, OverflowError):
        return text
