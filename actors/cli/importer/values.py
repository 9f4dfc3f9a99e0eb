"""From a cell to the value of a field: text of CSV or a value of JSON, exact all the way."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Final

from actors.cli.importer.errors import BadValue
from messages.dimensions import COUNT_FIELDS

_WHOLE: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?", re.ASCII)
_INT_MAX: Final = 2**63 - 1
_SHOWN_MAX: Final = 60


def text(value: object) -> str:
    """Text as it is; a whole number of JSON as its digits.

    Raises:
        BadValue: anything else, or bytes that were not UTF-8.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadValue(f"not text: {shown(value)}")
    found = str(value)
    try:
        found.encode()
    except UnicodeEncodeError:
        raise BadValue("not UTF-8") from None
    return found


def whole(value: object) -> int:
    """A whole number.

    Raises:
        BadValue: it is not one.
    """
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()) and len(value) <= 40:
        value = int(value.strip())  # int() alone leaves some of what strip() takes off
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue(f"not a whole number: {shown(value)}")
    if abs(value) > _INT_MAX:
        raise BadValue("out of range")
    return value


def exact(value: object) -> Decimal:
    """A decimal number, exactly as written.

    Raises:
        BadValue: it is not one.
    """
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        return Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadValue(f"not a number: {shown(value)}")
    return Decimal(value)


def number(value: object) -> float:
    """A binary float, for what is measured and not money.

    Raises:
        BadValue: it is not a finite number.
    """
    found = float(exact(value))
    if not math.isfinite(found):
        raise BadValue("out of range")
    return found


def moment(value: object) -> datetime:
    """An instant of RFC 3339.

    Raises:
        BadValue: it is not one, or has neither ``Z`` nor an offset.
    """
    if not isinstance(value, str):
        raise BadValue(f"not a time of RFC 3339: {shown(value)}")
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError:
        raise BadValue(f"not a time of RFC 3339: {shown(value)}") from None
    if found.utcoffset() is None:
        raise BadValue(f"has neither Z nor an offset: {shown(value)}")
    return found


def pairs(value: object) -> dict[str, object]:
    """An object of JSON, or its text.

    Raises:
        BadValue: it is not one, or holds other than text.
    """
    return {key: text(item) for key, item in _object(value).items()}


def _object(value: object) -> dict[str, object]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise BadValue(f"not a JSON object: {shown(value)}") from None
    if not isinstance(value, dict):
        raise BadValue(f"not a JSON object: {shown(value)}")
    return {text(key): item for key, item in value.items()}


def numbers(value: object) -> dict[str, object]:
    """An object of JSON whose values are whole numbers, or its text.

    Raises:
        BadValue: it is not one.
    """
    return {key: whole(item) for key, item in _object(value).items()}


def names(value: object) -> list[str]:
    """Texts, of an array of JSON or separated by commas.

    Raises:
        BadValue: it is neither.
    """
    if isinstance(value, str):
        return [name.strip() for name in value.split(",") if name.strip()]
    if not isinstance(value, list):
        raise BadValue(f"not a list of names: {shown(value)}")
    return [text(name) for name in value]


def amounts(value: object) -> dict[str, object]:
    """An object of JSON with numbers, or its text; exactly as written.

    Raises:
        BadValue: it is not one, or holds other than numbers.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise BadValue(f"not a JSON object: {shown(value)}") from None
    if not isinstance(value, dict):
        raise BadValue(f"not a JSON object: {shown(value)}")
    return {text(key): exact(item) for key, item in value.items()}


CONVERTERS: Final[dict[str, Callable[[object], object]]] = {
    "user": text,
    "provider": text,
    "event_id": text,
    "endpoint": text,
    "method": text,
    "model_used": text,
    "actual_provider_name": text,
    **dict.fromkeys(COUNT_FIELDS, whole),
    "response_time": number,
    "status_code": whole,
    "request_size": whole,
    "response_size": whole,
    "user_agent": text,
    "ip_address": text,
    "error_message": text,
    "retry_count": whole,
    "timestamp": moment,
    "cost": exact,
    "hold_id": text,
    "metadata": pairs,
    "outcome": text,
    "key": text,
    "tags": pairs,
    "token_parts": numbers,
    "token_counting": text,
    "price_variant": text,
    "price_factors": names,
    "units": amounts,
}


def shown(value: object) -> str:
    """A value for a line on a terminal: printable ASCII, short."""
    text_of = repr(value) if isinstance(value, str) else str(value)
    printable = text_of.encode("ascii", "backslashreplace").decode()
    return printable if len(printable) <= _SHOWN_MAX else f"{printable[:_SHOWN_MAX]}..."
