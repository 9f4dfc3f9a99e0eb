"""One table of price dimensions, with which every form agrees."""

from __future__ import annotations

import inspect
from decimal import Decimal
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from msgspec import Raw, Struct
from msgspec.structs import FieldInfo

from actors.billing.catalog.default_list import DefaultPrice, DefaultTier
from actors.billing.idempotency import original
from actors.cli.commands import track
from actors.cli.importer.values import CONVERTERS
from messages.admission import Enforce
from messages.client.fields import CountFields, TrackFields
from messages.dimensions import (
    COUNT_FIELDS,
    COUNTED,
    DIMENSIONS,
    PART_NAMES,
    TOKEN_PRICES,
    Dimension,
)
from messages.errors import RequestError
from messages.prices import (
    EstimateCost,
    PriceEntry,
    PricesPut,
    PutTier,
    TierEntry,
)
from messages.reports import LogEntry
from messages.scalars import ABSENT, Count, PartName, Tokens
from messages.stored.catalog import PricePut
from messages.stored.events import (
    UsageRecorded,
)
from messages.stored.names import USAGE_NAMES
from messages.stored.view import USAGE
from messages.usage import COUNTS, Track
from tests.support.meter import Meter, a_track, plan

NO_COUNTS = {"retry_count", "tokens_used"}
"""Fields of calls that are named as counts are, and have no price."""
_REQUIRED = msgspec.NODEFAULT


def fields_of(form: type[Struct]) -> dict[str, FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(form)}


def counts_of(form: type[Struct]) -> list[str]:
    """The counts of a form by their names, in order."""
    named = [name for name in fields_of(form) if name[:7] == "tokens_" or name[-6:] == "_count"]
    return [name for name in named if name not in NO_COUNTS]


def test_the_table_has_each_name_once_and_every_part_behind_its_whole() -> None:
    for names in (
        [dimension.price for dimension in DIMENSIONS],
        COUNT_FIELDS,
        [*USAGE_NAMES.values()],
    ):
        assert len(set(names)) == len(names)
        assert all(names)
    for place, dimension in enumerate(COUNTED):
        assert dimension.kind in {Tokens, Count}
        assert not dimension.part_of or dimension.part_of in COUNT_FIELDS[:place]
    assert [dimension.field for dimension in COUNTED if dimension.is_whole] == [*COUNT_FIELDS[:2]]


@pytest.mark.parametrize("form", [Track, UsageRecorded, LogEntry])
def test_a_call_has_the_counts_of_the_table_in_its_order(form: type[Struct]) -> None:
    assert counts_of(form) == [*COUNT_FIELDS]
    names = form.__struct_fields__
    first = names.index(COUNT_FIELDS[0])
    assert names[first : first + len(COUNTED)] == COUNT_FIELDS


@pytest.mark.parametrize("counted", COUNTED, ids=lambda counted: counted.field)
def test_a_count_is_of_the_type_of_the_table_wherever_it_is_typed(counted: Dimension) -> None:
    name, whole = counted.field, counted.is_whole
    asked, stored, logged = (fields_of(form)[name] for form in (Track, UsageRecorded, LogEntry))
    assert (asked.type, asked.default) == (counted.kind | None, None)
    assert (stored.type, stored.default) == ((int, 0) if whole else (int | None, None))
    assert (logged.type, logged.default) == (int if whole else int | None, _REQUIRED)
    assert get_type_hints(TrackFields)[name] == int | None
    for form in (EstimateCost, Enforce):
        assert fields_of(form)[name].type == counted.kind | None


def test_nothing_else_is_named_as_a_count() -> None:
    assert [*get_type_hints(CountFields)] == [*COUNT_FIELDS]
    for form in (EstimateCost, Enforce):
        assert [name for name in counts_of(form) if name != "tokens_requested"] == [*COUNT_FIELDS]
    assert [name for name in inspect.signature(track).parameters if name in COUNT_FIELDS] == [
        *COUNT_FIELDS
    ]
    assert {name for name in CONVERTERS if name in COUNT_FIELDS} == {*COUNT_FIELDS}
    columns = [column.name for column in USAGE.columns]
    assert [name for name in columns if name in COUNT_FIELDS] == [*COUNT_FIELDS]


@pytest.mark.parametrize(
    ("form", "kind", "default", "prefix"),
    [
        (PricesPut, Raw, ABSENT, "cost_per_"),
        (PriceEntry, Decimal | None, _REQUIRED, "cost_per_"),
        (PricePut, int | None, None, ""),
    ],
)
def test_a_price_has_the_amounts_of_the_table_in_its_order(
    form: type[Struct], kind: Any, default: Any, prefix: str
) -> None:
    fields = fields_of(form)
    wanted = [f"{prefix}{dimension.price}" for dimension in DIMENSIONS]
    beside = {*form.__struct_fields__} - {*wanted}
    assert [name for name in fields if name not in beside] == wanted
    further = {"variant", "tiers", "token_parts", "parts", "units", "multipliers", "aliases"}
    assert beside <= {"provider", "model", "version", "effective_from", "content", *further} | {
        *("event_id", "deadline", "alias"),
    }
    assert [fields[name].type for name in wanted] == [kind] * len(wanted)
    assert all(fields[name].default is default for name in wanted)


@pytest.mark.parametrize(
    ("form", "kind", "default"),
    [
        (PutTier, Raw, ABSENT),
        (TierEntry, Decimal | None, _REQUIRED),
        (DefaultTier, Decimal | None, None),
        (DefaultPrice, Decimal | None, None),
    ],
)
def test_tiers_and_the_default_list_have_the_amounts_of_the_table(
    form: type[Struct], kind: Any, default: Any
) -> None:
    fields = fields_of(form)
    dimensions = DIMENSIONS if form is DefaultPrice else TOKEN_PRICES
    wanted = [dimension.cost_field for dimension in dimensions]
    assert [name for name in fields if name.startswith("cost_per_")] == wanted
    assert [(fields[name].type, fields[name].default) for name in wanted] == [
        (kind, default) for _ in wanted
    ]


def test_the_names_of_token_parts_are_those_of_the_table() -> None:
    assert get_args(PartName) == PART_NAMES


@pytest.mark.parametrize("counted", COUNTED, ids=lambda counted: counted.field)
def test_the_count_of_a_call_is_stored_and_is_content(counted: Dimension) -> None:
    said: dict[str, Any] = {**dict.fromkeys(COUNT_FIELDS[:2], 500), "event_id": "e"}
    said[counted.field] = 3
    meter = Meter(terms=plan({}))
    meter.track(**said)
    row = meter.log[-1]
    assert getattr(row.event, counted.field) == 3
    assert msgspec.json.decode(row.body)[counted.short] == 3
    other: dict[str, Any] = {**said, counted.field: 4}
    call = a_track(**other)
    with pytest.raises(RequestError, match="used before"):
        original(call, row.event, None, "e", row.seq, row.at, meter.catalog)


def test_the_counts_of_a_call_are_a_slice_of_it_in_order() -> None:
    said: dict[str, Any] = {field: place for place, field in enumerate(COUNT_FIELDS)}
    assert msgspec.structs.astuple(a_track(**said))[COUNTS] == (*range(len(COUNTED)),)
