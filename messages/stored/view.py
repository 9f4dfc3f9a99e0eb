"""The usage log as plain columns, for people and their tools: which column is where in a body.

Money is there twice: ``*_nano`` are exact integers of 1e-9 USD (add these up), the others are
USD as floating point, to look at. So are amounts of units: ``units_nano`` in 1e-9 of one. A field
that is absent shows the default of the event.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..dimensions import COUNTED
from .detail import DETAIL_NAMES
from .names import USAGE_NAMES
from .older import LONG_USAGE


class Column(NamedTuple):
    """A column of a view.

    Attributes:
        name: its name.
        paths: JSON paths of the value; the first that is there counts. Without any nothing is
            stored under this name.
        default: what it is if no path has it, as SQL over the columns of the log.
        shown: what is shown, as SQL over the values of this view and the columns of the log.
            None: the value itself.
        source: the column of the log that the paths are in.
    """

    name: str
    paths: tuple[str, ...] = ()
    default: str | None = None
    shown: str | None = None
    source: str = "body"


class View(NamedTuple):
    """The rows of one kind, as columns; without those whose body is in an archive."""

    name: str
    kind: str
    columns: tuple[Column, ...]


def _field(name: str, default: str | None = None, shown: str | None = None) -> Column:
    """A field of a call: in the form of today, else in the one with full names."""
    short = USAGE_NAMES.get(name, name)
    return Column(name, tuple(dict.fromkeys((f"$.{short}", f"$.{name}"))), default, shown)


def _personal(name: str) -> Column:
    return Column(name, (f"$.{name}",), source="personal")


def _detail(name: str, shown: str | None = None) -> Column:
    """A field of what few calls say."""
    return Column(name, (f"$.{USAGE_NAMES['detail']}.{DETAIL_NAMES[name]}",), shown=shown)


def _moment(micros: str) -> str:
    """Microseconds since the epoch as RFC 3339 text, in SQL."""
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {micros} / 1000000, 'unixepoch')"
        f" || printf('.%06dZ', {micros} % 1000000)"
    )


def _usd(name: str) -> Column:
    return Column(name, shown=f"{name}_nano / 1e9")


_WHOLES: Final = tuple(dimension.field for dimension in COUNTED if dimension.is_whole)
_EARLY: Final = 8
"""So many dimensions the first view had; columns that came later are behind all others."""
_UNITS: Final = (
    "CASE WHEN units_nano IS NOT NULL THEN"
    " (SELECT json_group_object(key, value / 1e9) FROM json_each(units_nano)) END"
)

USAGE: Final = View(
    "usage",
    "usage",
    (
        _field("timestamp", "at", _moment("timestamp")),
        Column("logged_at", shown=_moment("at")),
        _field("provider"),
        _field("actual"),
        _field("model"),
        _field("billing_period"),
        _field("status", "'active'"),
        _field("priced", "'catalog'"),
        _field(  # the form with full names left out 0, that of today leaves out 1
            "price_version", f"substr(body, 1, {len(LONG_USAGE)}) <> '{LONG_USAGE}'"
        ),
        _usd("cost"),
        _usd("cost_input"),
        _usd("cost_output"),
        _usd("cost_catalog"),
        _field("cost_nano", "0"),
        _field("cost_input_nano", "0"),
        _field("cost_output_nano", "0"),
        _field("cost_catalog_nano"),
        *(_field(whole, "0") for whole in _WHOLES),
        Column("tokens_used", shown=" + ".join(_WHOLES)),
        *(_field(other.field) for other in COUNTED[:_EARLY] if not other.is_whole),
        _field("endpoint", "''"),
        _field("method", "'POST'"),
        _field("response_time", "0.0"),
        _field("status_code", "200"),
        _field("request_size"),
        _field("response_size"),
        _field("retry_count", "0"),
        _field("late", "0"),
        _field("adjusted"),
        _field("hold_id"),
        _field("hold_status"),
        _field("late_settle", "0"),
        _field("source"),
        _field("alerts", "'[]'"),
        _personal("user_agent"),
        _personal("ip_address"),
        _personal("error_message"),
        _personal("metadata"),
        _detail(
            "outcome", "coalesce(outcome, CASE WHEN status_code >= 400 THEN 'failed' ELSE 'ok' END)"
        ),
        _detail("key"),
        _detail("tags"),
        _detail("token_parts"),
        _detail("token_counting"),
        _detail("price_variant"),
        _detail("price_factors"),
        _detail("price_model"),
        _detail("matched_by"),
        _detail("variant_priced"),
        _detail("tier"),
        _detail("alias"),
        _detail("filled"),
        _detail("text"),
        _detail("units")._replace(name="units_nano"),
        Column("units", shown=_UNITS),
        _detail("unpriced"),
        *(_field(later.field) for later in COUNTED[_EARLY:]),
    ),
)
"""Its columns behind ``seq``, ``user_id`` and ``event_id``, which every view has."""
