"""Rows as CSV or JSON Lines, one after the other, on stdout or into a file."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

import msgspec

from actors.cli.importer.errors import BadInput
from messages.codec import encode_reply

Write = Callable[[Mapping[str, Any]], object]


@contextmanager
def writing(kind: str, columns: Sequence[str], path: Path | None) -> Iterator[Write]:
    """What writes a row in the format ``kind`` (csv or jsonl).

    A file is for its owner alone, and has its name once it is whole.

    Raises:
        BadInput: the file cannot be written.
    """
    if path is None:
        yield _writer(kind, columns, sys.stdout)
        sys.stdout.flush()
        return
    part = path.with_name(f"{path.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 -- has a mode
            yield _writer(kind, columns, file)
        part.replace(path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            part.unlink()


def _writer(kind: str, columns: Sequence[str], file: TextIO) -> Write:
    if kind == "jsonl":
        return lambda row: file.write(f"{_line(row)}\n")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    return lambda row: writer.writerow([_cell(row[name]) for name in columns])


def _line(row: Mapping[str, Any]) -> str:
    """A row as an object of JSON: money is a number without an exponent, as in CSV."""
    fields = {
        name: msgspec.Raw(f"{value:f}".encode()) if isinstance(value, Decimal) else value
        for name, value in row.items()
    }
    return encode_reply(fields).decode()


def _cell(value: object) -> object:
    """A value as text: money without an exponent, instants in UTC, objects as JSON."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return encode_reply(value).decode()
    return value
