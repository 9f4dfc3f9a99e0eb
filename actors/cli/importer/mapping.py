"""Which column becomes which field, and a row's body for `track`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from actors.cli.importer.errors import BadInput, BadValue, RowRefused
from actors.cli.importer.rows import InputRow
from actors.cli.importer.usual import proposed
from actors.cli.importer.values import CONVERTERS, exact, moment, text

PAIRS: Final[dict[str, Callable[[object], object]]] = {
    "metadata": text,
    "tags": text,
    "units": exact,
}
"""Fields that hold pairs, and what the value of one is: ``metadata.<key>`` is one pair."""


class FieldMap:
    """The columns of a file and the fields that they fill.

    A column named like a field fills it, unless ``--map`` or ``--set`` names that field. A
    field ``metadata.<key>`` is one pair of the metadata.

    Args:
        mapped: options ``field=column``.
        constants: options ``field=value``.
        usual: take columns with usual names for the fields that nothing else fills.
        on_ignored: called once with the columns that fill nothing, as they come up.

    Raises:
        BadInput: an option is malformed, names no field or one twice, or its value is wrong.
    """

    def __init__(
        self,
        mapped: Iterable[str],
        constants: Iterable[str],
        on_ignored: Callable[[list[str]], None],
        *,
        usual: bool = False,
    ) -> None:
        self._columns = _options("--map", "column", mapped)
        self._constants: dict[str, object] = {}
        options = _options("--set", "value", constants)
        for field, value in options.items():
            if field in self._columns:
                raise BadInput(f"{field} is in --map and in --set")
            if field == "event_id":
                raise BadInput("--set event_id: every row needs an event_id of its own")
            try:
                _put(self._constants, field, value)
            except BadValue as error:
                raise BadInput(f"--set {field}: {error}") from None
        self._set = frozenset(options)
        self._on_ignored = on_ignored
        self._usual = usual
        self.proposed: dict[str, str] = {}
        self._targets: dict[str, tuple[str, ...]] = {}

    @property
    def wanted(self) -> set[str]:
        """The columns without which the options do not fit the file."""
        own = {"user", "provider"} - self._columns.keys() - self._set if not self._usual else set()
        return {*self._columns.values(), *own}

    def check_columns(self, columns: Iterable[str]) -> None:
        """Hold the options against all columns that there are.

        Raises:
            BadInput: ``--map`` names a column that is not there, or nothing gives the user or
                the provider.
        """
        columns = list(columns)
        for field, column in self._columns.items():
            if column not in columns:
                there = ", ".join(map(repr, columns))
                raise BadInput(f"--map {field}={column}: no column {column!r} among {there}")
        own = {column for column in columns if _is_field(column)} - set(self._columns.values())
        self.proposed = proposed(columns, own | self._columns.keys() | self._set)
        if self._usual:
            self._columns |= self.proposed
        self._learn(columns)
        filled = {field for targets in self._targets.values() for field in targets} | self._set
        for field in ("user", "provider"):
            if field not in filled:
                hint = f"--map {field}={self.proposed.get(field, 'COLUMN')}"
                raise BadInput(f"no column for {field}: give {hint} or --set {field}=VALUE")

    @property
    def used(self) -> dict[str, str]:
        """The column of each field that one fills."""
        return {field: column for column, fields in self._targets.items() for field in fields}

    def fields(self, row: InputRow) -> dict[str, object]:
        """All fields of a row, the user among them.

        Raises:
            RowRefused: the row is malformed, a cell does not fit its field, or user or provider
                is missing.
        """
        if row.problem is not None:
            raise RowRefused(row.problem)
        if row.cells.keys() - self._targets.keys():
            self._learn(row.cells)
        found = dict(self._constants)
        for column, value in row.cells.items():
            if _absent(value):
                continue
            for field in self._targets[column]:
                try:
                    _put(found, field, value)
                except BadValue as error:
                    raise RowRefused(str(error), field) from None
        for field in ("user", "provider"):
            if field not in found:
                raise RowRefused("missing", field)
        return found

    def timestamp(self, row: InputRow) -> datetime | None:
        """When the call of a row was made, None if the row does not say or is malformed."""
        if "timestamp" in self._set or row.problem is not None:
            return None
        value = row.cells.get(self._columns.get("timestamp", "timestamp"))
        try:
            return None if _absent(value) else moment(value)
        except BadValue:
            return None

    def _learn(self, columns: Iterable[str]) -> None:
        ignored = []
        for column in columns:
            if column not in self._targets:
                self._targets[column] = self._targets_of(column)
                if not self._targets[column]:
                    ignored.append(column)
        if ignored:
            self._on_ignored(ignored)

    def _targets_of(self, column: str) -> tuple[str, ...]:
        targets = tuple(field for field, name in self._columns.items() if name == column)
        taken = column in self._columns or column in self._set
        return targets if taken or not _is_field(column) else (*targets, column)


def _options(option: str, what: str, given: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in given:
        field, separator, value = pair.partition("=")
        if not (field and separator and value):
            raise BadInput(f"{option} {pair}: write field={what}")
        if not _is_field(field):
            known = ", ".join(CONVERTERS)
            names = ", ".join(f"{whole}.KEY" for whole in PAIRS)
            raise BadInput(f"{option} {pair}: no field {field!r}; there are {known}, {names}")
        if field in found:
            raise BadInput(f"{option} {pair}: {field} is there twice")
        found[field] = value
    return found


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, str) and (not value or value.isspace()))


def _is_field(name: str) -> bool:
    whole, _, pair = name.partition(".")
    return name in CONVERTERS or (whole in PAIRS and bool(pair))


def _put(fields: dict[str, object], field: str, value: object) -> None:
    whole, _, name = field.partition(".")
    if name:
        fields[whole] = _pairs(fields, whole) | {name: PAIRS[whole](value)}
    elif field in PAIRS:
        given = CONVERTERS[field](value)
        assert isinstance(given, dict)
        fields[field] = given | _pairs(fields, field)  # one pair named alone wins, wherever it is
    else:
        fields[field] = CONVERTERS[field](value)


def _pairs(fields: dict[str, object], field: str) -> dict[str, object]:
    found = fields.get(field, {})
    assert isinstance(found, dict)
    return found
