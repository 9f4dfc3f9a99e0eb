"""Forms in which events were stored before. They are read for ever, and never written again."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import FieldInfo, astuple, fields

from .events import UsageRecorded

LONG_USAGE: Final = '{"provider":'
"""How every call with full names begins, and no call of today's form."""

_ALWAYS: Final = frozenset({"status", "priced"})
_PRICE_VERSION: Final = 0


def _long(field: FieldInfo) -> tuple[str, Any] | tuple[str, Any, Any]:
    """A field as it was: under its full name, some without a default or with another one."""
    if field.required or field.name in _ALWAYS:
        return field.name, field.type
    default = _PRICE_VERSION if field.name == "price_version" else field.default
    return field.name, field.type, default


# With the fields that came after the form, which no such call has, so that all are in one order.
_LONG: Final = msgspec.defstruct(
    "LongUsage",
    [_long(field) for field in fields(UsageRecorded)],
    frozen=True,
    gc=False,
)
_DECODER: Final = msgspec.json.Decoder(_LONG)


def decode_long_usage(body: str) -> UsageRecorded:
    """A call that was stored under the full names of its fields.

    Raises:
        msgspec.DecodeError: the text is not that of such a call.
    """
    return UsageRecorded(*astuple(_DECODER.decode(body)))
