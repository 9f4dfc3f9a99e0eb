"""What an import tells: its progress, each refused row, and a table at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from actors.cli.importer.errors import RowRefused
from actors.cli.importer.mapping import FieldMap
from actors.cli.importer.plan import PlannedCall
from actors.cli.importer.rows import InputRow
from actors.cli.importer.tally import ImportTally, Line, Sum
from actors.cli.importer.values import shown
from actors.cli.output import is_human
from actors.cli.views import amount
from messages.codec import encode_reply
from messages.errors import RequestError
from messages.usage import TrackReply

REFUSED_LINES: Final = 20
REASONS_MAX: Final = 5
DAY: Final = timedelta(days=1)
LATE_DAYS_MAX: Final = 35
AHEAD_DAYS_MAX: Final = 5 / 1440
_UNKNOWN: Final = "(none)"


class ImportReport:
    """Collects the answers of one import and shows them; lines go to stderr.

    Args:
        refused_lines: of refused rows; the others are told by their number and reason.
        now: the time of the import, from which a row's age is told.
    """

    def __init__(self, refused_lines: int = REFUSED_LINES, now: datetime | None = None) -> None:
        self._refused_lines = refused_lines
        self._now = now
        self._untold = Counter[str]()
        self._too_old = 0
        self.tally = ImportTally()
        self.lost = False
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]:,} rows"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, rows=0)
        self._rows = 0

    @contextmanager
    def progress(self, name: str, size: int) -> Iterator[None]:
        """Show a bar of the file's bytes while the import runs."""
        self._progress.update(self._task, description=shown(name), total=size)
        with self._progress:
            yield
            self.read(size)

    def read(self, position: int) -> None:
        """So many bytes of the file are read."""
        self._progress.update(self._task, completed=position, rows=self._rows)

    def settled(self, _: PlannedCall, reply: TrackReply) -> None:
        """A row is stored."""
        self._rows += 1
        self.tally.settle(reply)

    def refused(self, row: InputRow, error: RowRefused, provider: object = None) -> None:
        """A row is not stored."""
        self._rows += 1
        self.tally.refuse(provider)
        if self.tally.total().refused <= self._refused_lines:
            self.note(f"row {row.number} (line {row.line}): {error}")
        else:
            self._untold[_kind_of(error)] += 1

    def refused_by_service(self, usage: PlannedCall, error: RequestError) -> None:
        """The service does not take a row."""
        reason = str(error)
        if error.error_id is not None:
            reason += f" (error id {error.error_id})"
        if error.code == "timestamp_out_of_range":
            self._note_age(usage)
        self.refused(usage.row, RowRefused(reason, error.field), usage.body["provider"])

    def would_send(self, usage: PlannedCall) -> None:
        """A row of a rehearsal: counted, or refused for its age as the service would."""
        moment = usage.body.get("timestamp")
        if isinstance(moment, datetime) and not self._is_taken(moment):
            self._note_age(usage)
            why = "more than 5 minutes ahead, or more than 35 days old"
            self.refused(usage.row, RowRefused(why, "timestamp"), usage.body["provider"])
            return
        self._rows += 1
        tokens = sum(usage.body.get(field) or 0 for field in ("tokens_input", "tokens_output"))
        self.tally.rehearse(usage.body["provider"], tokens, usage.body.get("cost") or Decimal(0))

    def _is_taken(self, moment: datetime) -> bool:
        """Whether the service takes a call of that time."""
        if self._now is None:
            return True
        return -LATE_DAYS_MAX <= (moment - self._now) / DAY <= AHEAD_DAYS_MAX

    def _note_age(self, usage: PlannedCall) -> None:
        moment = usage.body.get("timestamp")
        if isinstance(moment, datetime) and self._now is not None and moment < self._now:
            self._too_old += 1

    def tell_refused(self) -> None:
        """Say what the lines about refused rows left out, and what helps old ones."""
        if self._untold:
            reasons = ", ".join(f"{why} {n:,}" for why, n in self._untold.most_common(REASONS_MAX))
            total = self._untold.total()
            self.note(f"and {total:,} more refused: {reasons} (--refused-lines N shows more)")
        if self._too_old:
            self.note(
                f"{self._too_old:,} are older than 35 days: --timestamps shift moves all rows so "
                f"that the last is now"
            )

    def rehearsed(self, file: Path, fields: FieldMap, users: int, *, as_json: bool) -> None:
        """Show what a dry run found."""
        if is_human(as_json):
            mapping = ", ".join(f"{field} from {shown(c)}" for field, c in fields.used.items())
            self.note(f"nothing was sent; {users:,} users; {mapping}")
        self.finish(
            file,
            as_json=as_json,
            more={
                "dry_run": True,
                "users": users,
                "mapping": fields.used,
                "proposed": fields.proposed,
            },
        )

    def ignored(self, columns: list[str]) -> None:
        """Columns that fill no field."""
        self.note(f"ignored columns: {', '.join(map(shown, columns))}")

    def note(self, line: str) -> None:
        """One line on stderr, above the bar."""
        printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
        self._console.print(printable, soft_wrap=True)

    def finish(
        self, file: Path, *, as_json: bool, more: Mapping[str, object] = MappingProxyType({})
    ) -> None:
        """Show what was counted, as JSON with ``more`` fields."""
        if not more:
            self.tell_refused()
        if is_human(as_json):
            Console().print(self._table())
        else:
            typer.echo(encode_reply({**self._object(file), **more}).decode())

    def _table(self) -> Table:
        table = Table(header_style="bold", show_edge=False, show_footer=True)
        total = _cells(self.tally.total())
        before = ("calls\nbefore", "tokens\nbefore", "USD\nbefore")
        names = ("calls\nnow", "tokens\nnow", "USD\nnow", *before, "refused")
        table.add_column("provider", footer="total", no_wrap=True)
        for name, footer in zip(names, total, strict=True):
            table.add_column(name, footer=footer, justify="right", no_wrap=True)
        for provider, line in self._lines():
            table.add_row(Text(provider), *_cells(line))
        return table

    def _object(self, file: Path) -> dict[str, Any]:
        return {
            "file": str(file),
            "complete": not self.lost,
            "rows": self.tally.settled,
            **_fields(self.tally.total()),
            "providers": {provider: _fields(line) for provider, line in self._lines()},
        }

    def _lines(self) -> list[tuple[str, Line]]:
        found = ((provider or _UNKNOWN, line) for provider, line in self.tally.providers.items())
        return sorted(found, key=lambda pair: pair[0])


def _kind_of(error: RowRefused) -> str:
    """A reason without what differs from row to row."""
    where = "" if error.field is None else f"{error.field}: "
    return where + str(error).removeprefix(where).partition(":")[0]


def _cells(line: Line) -> list[str]:
    return [*_sum_cells(line.counted), *_sum_cells(line.duplicates), f"{line.refused:,}"]


def _sum_cells(part: Sum) -> tuple[str, str, str]:
    return f"{part.calls:,}", f"{part.tokens:,}", amount(part.cost)


def _fields(line: Line) -> dict[str, Any]:
    return {
        "counted": _sum_fields(line.counted),
        "duplicates": _sum_fields(line.duplicates),
        "refused": line.refused,
    }


def _sum_fields(part: Sum) -> dict[str, Any]:
    return {"calls": part.calls, "tokens": part.tokens, "cost": part.cost}
