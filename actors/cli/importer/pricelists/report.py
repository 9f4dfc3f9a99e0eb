"""What an import says: as JSON, and in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from actors.cli.importer.pricelists.rows import PriceList, grouped
from actors.cli.importer.pricelists.sending import Sent

_SHOWN: Final = 20


def as_json(found: PriceList, sent: Sent, same: int, *, dry_run: bool) -> dict[str, Any]:
    """All that there is to say; what was left out is grouped by its name in the list."""
    return {
        "put": sent.put,
        "same": same,
        "dry_run": dry_run,
        "providers": sent.providers,
        "refused": grouped(sent.refused),
        "cleaned": grouped(found.cleaned),
        "left_out": grouped(found.left_out),
        "skipped": {
            why: {"count": count, "examples": found.skipped_names[why]}
            for why, count in found.skipped.most_common()
        },
    }


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The same in lines, the most frequent first."""
    would = "would be " if report["dry_run"] else ""
    yield f"{report['put']:,} prices {would}put, {report['same']:,} in force already"
    if report["providers"]:
        yield f"{len(report['providers']):,} providers {would}put: {', '.join(report['providers'])}"
    yield from _group("prices or providers refused by the service", report["refused"])
    yield from _group("entries of which nothing was taken", report["skipped"])
    yield from _group("prices without the noise of floats, or to 12 decimals", report["cleaned"])
    yield from _group("price fields that cannot be taken", report["left_out"])


def _group(title: str, group: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if not group:
        return
    yield f"{sum(one['count'] for one in group.values()):,} {title}:"
    for name, one in list(group.items())[:_SHOWN]:
        yield f"  {one['count']:,} {name} ({', '.join(one['examples'])})"
    if len(group) > _SHOWN:
        yield f"  and {len(group) - _SHOWN:,} more kinds (all of them with --json)"
