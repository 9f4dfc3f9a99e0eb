"""Rows of CSV and JSON Lines files, in order, with bounded memory.

What is wrong with one row is told with that row, and the reading goes on behind it.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from actors.cli.importer.cloudevents import unwrap
from actors.cli.importer.errors import BadInput

FORMATS: Final = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
LINE_BYTES_MAX: Final = 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class InputRow:
    """One row of a file.

    Attributes:
        number: from 1, the header and blank lines not counted.
        line: of the file where the row begins, from 1.
        cells: what it holds, by column.
        content: all of it with the header, for a key that is the same for the same row.
        problem: why it cannot be read, None if it can.
        envelope: of a CloudEvent, None for any other row.
    """

    number: int
    line: int
    cells: dict[str, object]
    content: tuple[object, ...]
    problem: str | None = None
    envelope: dict[str, object] | None = None


class Lines:
    """The lines of a file; one over the bound comes as a blank line and sets `oversized`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.oversized = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self._file.readline(LINE_BYTES_MAX + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if self.number == 1:
            if line.startswith(_UTF_16):
                raise BadInput("the file is UTF-16: save it as UTF-8")
            line = line.removeprefix(_BOM)
        if len(line) > LINE_BYTES_MAX:
            self.oversized = True
            while line and not line.endswith(b"\n"):
                line = self._file.readline(LINE_BYTES_MAX)
            return b"\n"
        return line

    def position(self) -> int:
        """Bytes read so far."""
        return self._file.tell()


class CsvRows:
    """The rows under the header of a CSV file (RFC 4180).

    Args:
        lines: of the file.

    Raises:
        BadInput: there is no header, or it is not UTF-8.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        # Bytes that are not UTF-8 spoil only the row that uses them.
        texts = (line.decode("utf-8", "surrogateescape") for line in lines)
        csv.field_size_limit(LINE_BYTES_MAX)
        self._reader = csv.reader(texts, strict=True, skipinitialspace=True)
        self.columns = self._read_header()

    def __iter__(self) -> Iterator[InputRow]:
        number = 0
        while True:
            line = self._reader.line_num + 1
            self._lines.oversized = False
            problem = None
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells, problem = [], f"not CSV: {error}"
            if self._lines.oversized:
                problem = f"a line is over {LINE_BYTES_MAX} bytes"
            elif not cells and problem is None:
                continue
            elif problem is None and len(cells) != len(self.columns):
                problem = f"{len(cells)} cells where the header has {len(self.columns)}"
            number += 1
            found: dict[str, object] = dict(zip(self.columns, cells, strict=False))
            yield InputRow(number, line, found, (self.columns, cells), problem)

    def _read_header(self) -> tuple[str, ...]:
        try:
            header = next((cells for cells in self._reader if cells), None)
        except csv.Error as error:
            raise BadInput(f"the header is not CSV: {error}") from None
        if header is None:
            raise BadInput("the file is empty")
        columns = tuple(column.strip() for column in header)
        if any("\udc80" <= character <= "\udcff" for character in "".join(columns)):
            raise BadInput("the header is not UTF-8")
        doubled = [name for name, count in Counter(columns).items() if name and count > 1]
        if doubled:
            raise BadInput(f"the header has a column more than once: {', '.join(doubled)}")
        return columns


class JsonRows:
    """The objects of a JSON Lines file; numbers with a point stay exact decimals.

    An object that is a CloudEvent is unwrapped.
    """

    columns: tuple[str, ...] = ()  # each object names its own

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[InputRow]:
        number = 0
        for raw in self._lines:
            cells: dict[str, object] = {}
            envelope: dict[str, object] | None = None
            problem = None
            if self._lines.oversized:
                self._lines.oversized = False
                problem = f"the line is over {LINE_BYTES_MAX} bytes"
            elif not raw.strip():
                continue
            else:
                try:
                    cells, envelope = unwrap(_object_of(raw))
                except (ValueError, ArithmeticError, RecursionError) as error:
                    problem = _json_problem(error)
            number += 1
            content = (raw.strip().decode("utf-8", "replace"),)
            yield InputRow(number, self._lines.number, cells, content, problem, envelope)


Rows = CsvRows | JsonRows


@contextmanager
def open_rows(path: Path, kind: str) -> Iterator[tuple[Rows, Lines]]:
    """Open a file of the format ``kind`` (csv or jsonl).

    Raises:
        BadInput: it cannot be opened or has no header.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    with file:
        lines = Lines(file)
        try:
            yield (CsvRows(lines) if kind == "csv" else JsonRows(lines)), lines
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}") from None
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from None


def format_of(path: Path) -> str:
    """The format of a file by its extension.

    Raises:
        BadInput: the extension does not tell.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(FORMATS)
        raise BadInput(f"{path}: the format is not known by its name ({known}): give --format")
    return kind


def _object_of(raw: bytes) -> dict[str, object]:
    found = json.loads(raw.decode("utf-8"), parse_float=Decimal, parse_constant=_refuse_constant)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 -- the value, not a caller, is wrong
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"not JSON: {name} is not a JSON number")


def _json_problem(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at character {error.pos + 1}"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deep"
    return str(error) if isinstance(error, ValueError) else "a number is out of range"
