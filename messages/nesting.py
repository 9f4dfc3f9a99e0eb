"""Which field of a body is nested too deep, if several are taken as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import FieldInfo, fields

from .refusals import UNREADABLE, refusal

_AMOUNTS: Final = ("units", "units_requested")


def deep_field(kind: Any, raw: str | None) -> Callable[[bytes], str | None]:
    """What names the field, for a body that the decoder of a command finds nested too deep.

    Amounts by unit are numbers, so something nested in them is refused as soon as it begins: if
    that happens, they are it. Else it is the field ``raw``.
    """
    if not {*_AMOUNTS} & {*kind.__struct_fields__}:
        return lambda _: raw
    flat = msgspec.defstruct("Flat", [_flat(field) for field in fields(kind)], kw_only=True)
    decode = msgspec.json.Decoder(flat).decode

    def find(body: bytes) -> str | None:
        try:
            decode(body)
        except UNREADABLE as error:
            found = refusal(error, kind, None, hint=False).field
            return found if found in _AMOUNTS else raw
        return raw

    return find


def _flat(field: FieldInfo) -> tuple[str, Any, Any]:
    kind = dict[str, float | None] | None if field.name in _AMOUNTS else field.type
    return field.name, kind, None if field.required else field.default
