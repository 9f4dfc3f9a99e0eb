"""What differs between the prices in force and a newer list: pure, over what the service lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

from actors.cli.importer.pricelists.form import canonical
from actors.cli.importer.pricelists.puts import Known, in_force
from actors.cli.importer.pricelists.rows import Key, PriceList, grouped

NEW: Final = "new"
CHANGED: Final = "changed"
VANISHED: Final = "vanished"

Found = tuple[str, str, str]


def differences(
    found: PriceList, known: Known, default: Iterable[Key], now: datetime
) -> dict[str, list[Found]]:
    """Rows of the list that are not in force, or with other prices; and what it has no longer.

    Args:
        found: the newer list.
        known: the rows of the service.
        default: what meterd's own list has, some of which a newer one may lack.
        now: the moment that is looked at.

    Returns:
        by what differs: provider, model, variant. Other names of models are not compared.
    """
    differ: dict[str, list[Found]] = {NEW: [], CHANGED: [], VANISHED: []}
    listed = {row.key for row in found.rows}
    for row in found.rows:
        if row.since is not None:
            continue
        version = in_force(known.get(row.key, []), now)
        if version is None:
            differ[NEW].append(row.key)
        elif _prices(version.fields) != _prices(row.fields):
            differ[CHANGED].append(row.key)
    differ[VANISHED] = [key for key in default if key not in listed]
    return differ


def as_json(
    differ: Mapping[str, list[Found]],
    default: Mapping[str, Any],
    today: date,
    installed: str | None,
) -> dict[str, Any]:
    """The report; what differs is grouped by provider.

    Args:
        differ: as `differences` found it; empty without an installed package.
        default: ``source`` and ``date`` of meterd's own list.
        today: how old it is.
        installed: the version of the package that is installed, if any is.
    """
    age = (today - date.fromisoformat(default["date"])).days
    report: dict[str, Any] = {
        "default": {"source": default["source"], "date": default["date"], "age_days": age},
        "installed": installed,
    }
    for what, keys in differ.items():
        report[what] = grouped((_name(key), "", key[0]) for key in keys)
    return report


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The same in lines."""
    default = report["default"]
    yield (
        f"the default prices are of {default['date']} ({default['source']}), "
        f"{default['age_days']:,} days old"
    )
    if report["installed"] is None:
        yield "no genai-prices is installed to compare with: pip install 'meterd[prices]'"
        return
    yield f"compared with genai-prices {report['installed']}:"
    for what, title in (
        (NEW, "prices are in the list and not in force"),
        (CHANGED, "prices in force differ"),
        (VANISHED, "default prices are no longer in the list"),
    ):
        group = report[what]
        yield f"  {sum(one['count'] for one in group.values()):,} {title}"
        for provider, one in group.items():
            yield f"    {one['count']:,} {provider} ({', '.join(one['examples'])})"


def _name(key: Key) -> str:
    return f"{key[1]} {key[2]}".strip()


def _prices(fields: Mapping[str, Any]) -> dict[str, Any]:
    return canonical({name: value for name, value in fields.items() if name != "aliases"})
