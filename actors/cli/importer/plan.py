"""What an import will send: every row of a file as the body of one `track`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from actors.cli.importer.errors import BadInput, RowRefused
from actors.cli.importer.mapping import FieldMap
from actors.cli.importer.rows import InputRow, Lines, Rows, open_rows
from actors.cli.importer.usual import as_options, says_something


class Timestamps(StrEnum):
    """What becomes of the times of the rows."""

    KEEP = "keep"
    SHIFT = "shift"
    NOW = "now"


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One row as it is sent."""

    row: InputRow
    user: str
    body: dict[str, Any]


class ImportPlan:
    """An import that was checked: the file can be read and the options fit it.

    Args:
        path: of the file.
        kind: its format, csv or jsonl.
        fields: how columns fill fields.
        timestamps: what becomes of the times.
        now: where the last row lands with ``shift``.

    Raises:
        BadInput: the file cannot be read or is empty, or the options do not fit it.
    """

    def __init__(
        self, path: Path, kind: str, fields: FieldMap, timestamps: Timestamps, now: datetime
    ) -> None:
        self._path = path
        self._kind = kind
        self._fields = fields
        self._timestamps = timestamps
        self._shift = timedelta(0)
        with open_rows(path, kind) as (rows, _):
            fields.check_columns(_columns(rows, fields.wanted))
        self.size = path.stat().st_size
        if timestamps is Timestamps.SHIFT:
            self._shift = now - self._last()

    def usages(
        self,
        on_refused: Callable[[InputRow, RowRefused], None],
        on_read: Callable[[int], None] = lambda _: None,
    ) -> Iterator[PlannedCall]:
        """The rows in order; a row that cannot be sent goes to ``on_refused``.

        ``on_read`` is told how many bytes of the file are read.
        """
        with open_rows(self._path, self._kind) as (rows, lines):
            for row in rows:
                try:
                    yield self._usage(row)
                except RowRefused as error:
                    on_refused(row, error)
                _tell(lines, on_read)

    def check_not_empty(self) -> None:
        """Refuse a file of which no row would count tokens, units or a cost.

        Raises:
            BadInput: naming the columns that look like what is missing.
        """
        empty = 0
        for usage in self.usages(lambda *_: None):
            if says_something(usage.body):
                return
            empty += 1
        if empty:
            hint = as_options(self._fields.proposed)
            do = f"give {hint}, or --usual-names" if hint else "give --map tokens_input=COLUMN"
            raise BadInput(
                f"every row would count no tokens, no units and no cost: {do}, or --allow-empty "
                f"if the calls are to be counted so"
            )

    def _usage(self, row: InputRow) -> PlannedCall:
        body = self._fields.fields(row)
        user = body.pop("user")
        assert isinstance(user, str)
        body.setdefault("event_id", _key(row))
        if self._timestamps is Timestamps.NOW:
            body.pop("timestamp", None)
        elif isinstance(moment := body.get("timestamp"), datetime):
            try:
                body["timestamp"] = moment + self._shift
            except OverflowError:
                raise RowRefused("out of range", "timestamp") from None
        return PlannedCall(row, user, body)

    def _last(self) -> datetime:
        with open_rows(self._path, self._kind) as (rows, _):
            moments = (self._fields.timestamp(row) for row in rows)
            last = max((moment for moment in moments if moment is not None), default=None)
        if last is None:
            raise BadInput(f"{self._path}: --timestamps shift: no row has a timestamp")
        return last


def _columns(rows: Rows, wanted: Iterable[str]) -> list[str]:
    """The columns of a file; of JSON Lines as far as it takes to see all the wanted ones."""
    seen = dict.fromkeys(rows.columns)
    if not seen:
        row = None
        for row in rows:
            seen |= dict.fromkeys(row.cells)
            if seen.keys() >= set(wanted):
                break
        if row is None:
            raise BadInput("the file is empty")
    return list(seen)


def _key(row: InputRow) -> str:
    """The same key for the same row of the same file, so that a rerun counts nothing twice."""
    content = json.dumps([row.line, *row.content]).encode()
    return f"import-{row.line}-{hashlib.blake2b(content, digest_size=12).hexdigest()}"


def _tell(lines: Lines, on_read: Callable[[int], None]) -> None:
    if lines.number % 100 == 0:  # asking for the position costs a call into the file
        on_read(lines.position())
