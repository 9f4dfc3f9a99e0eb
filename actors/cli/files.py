"""Files of JSON that a command takes."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.cli.importer.errors import BadInput

_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)  # money stays exact


def objects(file: Path) -> list[Any]:
    """What a file holds: the elements of an array, one object, or the objects of JSON Lines.

    Raises:
        BadInput: it cannot be read, or is not JSON.
    """
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        try:
            found = _decoder.decode(raw)
        except msgspec.DecodeError:
            if raw.lstrip()[:1] == b"[":
                raise
            return [_decoder.decode(line) for line in raw.splitlines() if line.strip()]
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: not JSON: {error}") from None
    return found if isinstance(found, list) else [found]


def rows_of(file: Path) -> list[dict[str, Any]]:
    """As `objects`, each of which is an object of JSON.

    Raises:
        BadInput: as `objects`, or there is none, or one is something else.
    """
    found = objects(file)
    if not found:
        raise BadInput(f"{file}: nothing is in it")
    for number, one in enumerate(found, 1):
        if not isinstance(one, dict):
            raise BadInput(f"{file}: number {number} is not a JSON object")
    return found
