"""What a caller is told about a body that cannot be decoded: the field, and what it may be.

The body may be hostile, so what is looked at of it is bounded: names that are as long as names
are, against the names that there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from .errors import InvalidRequest

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding a body raises."""
NAME_MAX: Final = 48
"""Characters of a name for which a similar one is looked for."""
HINTS_KEPT: Final = 1_024
"""Hints that are known: to look for one takes ten times as long as a call, and who is wrong will be
wrong in the same way again."""

_FIELD_OF_OBJECT: Final = re.compile(
    r"^Object (?:contains unknown|missing required) field `(.*)`", re.DOTALL
)
_UNKNOWN_FIELD: Final = re.compile(r"^Object contains unknown field `([^`]*)`")
_VALUE: Final = "Invalid enum value"
_FIELD_OF_PATH: Final = re.compile(r" - at (?:`key` in )?`\$\.?([^.`\[]*)")
_LAST_OF_PATH: Final = re.compile(r"[.$]([^.`\[]*)`$")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
_USUAL: Final[Mapping[str, str]] = {
    "model": "model_used",
    "model_name": "model_used",
    "prompt_tokens": "tokens_input",
    "input_tokens": "tokens_input",
    "completion_tokens": "tokens_output",
    "output_tokens": "tokens_output",
    "cached_tokens": "tokens_cache_read",
    "reasoning_tokens": "tokens_reasoning",
    "tokens": "tokens_requested",
    "total_tokens": "tokens_requested",
    "request_id": "event_id",
    "idempotency_key": "event_id",
    "error": "error_message",
    "status": "status_code",
    "latency": "response_time",
    "duration": "response_time",
    "time": "timestamp",
}
"""What others call some fields."""


class Vocabulary(NamedTuple):
    """The fields of a body, nested ones too, and the values of those that have a few."""

    names: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]


MESSAGE_MAX: Final = 200
"""Of what a decoder says, in characters."""


def clip(text: str, length: int = 200) -> str:
    """Text that is safe in a header or a log line: printable ASCII, bounded."""
    return _UNPRINTABLE.sub("?", text[:length])


def closest(name: str, names: Iterable[str]) -> str:
    """``"; did you mean `x`?"`` with the one of some names that is nearly this; else empty."""
    return "" if len(name) > NAME_MAX else _closest(name, tuple(names))


@lru_cache(maxsize=HINTS_KEPT)
def _closest(name: str, names: tuple[str, ...]) -> str:
    others = [other for other in names if other != name]
    usual = _USUAL.get(name.lower())
    found = [usual] if usual in others else get_close_matches(name, others, n=1)
    return f"; did you mean `{found[0]}`?" if found else ""


def refusal(
    error: Exception, command: type[Struct], text_field: str | None, *, hint: bool = True
) -> InvalidRequest:
    """The error for a body.

    Args:
        error: what decoding it raised: one of `UNREADABLE`.
        command: what it should have been.
        text_field: the field that may be nested too deep, None if that is not known.
        hint: whether to say what would have been right.
    """
    if isinstance(error, msgspec.ValidationError):
        text = str(error)
        found = _FIELD_OF_PATH.search(text) or _FIELD_OF_OBJECT.search(text)
        field = clip(found[1]) if found and found[1] else None
        hinted = _hint(text, vocabulary(command)) if hint else ""
        return InvalidRequest(_short(text) + hinted, field)
    if isinstance(error, msgspec.DecodeError):
        return InvalidRequest(f"not JSON: {clip(str(error))}")
    if isinstance(error, UnicodeDecodeError):
        return InvalidRequest("not UTF-8")
    return InvalidRequest("nested too deep", text_field)


def _short(text: str) -> str:
    """What the decoder says; of a long value only its begin, so that its place is still named."""
    place = text.rfind(" - at `")
    if len(text) <= MESSAGE_MAX or place < 0:
        return clip(text)
    return f"{clip(text[:place], MESSAGE_MAX // 2)}...{clip(text[place:], MESSAGE_MAX // 2)}"


def _hint(text: str, known: Vocabulary) -> str:
    """What would have been right, if there is something to say."""
    unknown = _UNKNOWN_FIELD.match(text)
    if unknown is not None:
        return closest(unknown[1], known.names)
    if text.startswith(_VALUE):
        last = _LAST_OF_PATH.search(text)
        allowed = known.values.get(last[1]) if last else None
        return f"; allowed: {', '.join(allowed)}" if allowed else ""
    return ""


@cache
def vocabulary(command: type[Struct]) -> Vocabulary:
    """What a body may have in it."""
    names: dict[str, None] = {}
    values: dict[str, tuple[str, ...]] = {}
    for kind in _structs(command):
        for field in fields(kind):
            names[field.encode_name] = None
            allowed = tuple(
                value
                for part in _parts(field.type)
                if get_origin(part) is Literal
                for value in get_args(part)
                if isinstance(value, str)
            )
            if allowed:
                values[field.encode_name] = allowed
    return Vocabulary(tuple(names), values)


def _structs(kind: type[Struct]) -> Iterator[type[Struct]]:
    """A struct and those within it; none contains itself."""
    yield kind
    for field in fields(kind):
        for part in _parts(field.type):
            if isinstance(part, type) and issubclass(part, Struct):
                yield from _structs(part)


def _parts(kind: Any) -> Iterator[Any]:
    """A type and those that it is made of."""
    yield kind
    if get_origin(kind) is not Literal:
        for part in get_args(kind):
            yield from _parts(part)
