"""Which puts make the catalogue say what a list says: pure, over what the service lists.

A put is left out if what is in force at its moment is the same already, so that a second import
of a list changes nothing.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from actors.cli.importer.pricelists.form import canonical, fields_of
from actors.cli.importer.pricelists.rows import (
    Key,
    ListedPrice,
    ListedProvider,
    PriceList,
    midnight,
)

Body = dict[str, Any]


@dataclass(order=True)
class Version:
    """A row of the service: from when on it is in force, and its fields."""

    since: datetime
    number: int
    fields: dict[str, Any] = field(compare=False)


Known = dict[Key, list[Version]]
"""The rows of the service by their key, each list ascending."""


@dataclass
class Plan:
    """What there is to put.

    Attributes:
        providers: bodies of `catalog.providers.put`.
        prices: bodies of `catalog.prices.put`, by provider and model in their order.
        same: how many rows are in force already.
    """

    providers: list[Body] = field(default_factory=list)
    prices: dict[tuple[str, str], list[Body]] = field(default_factory=dict)
    same: int = 0

    @property
    def put(self) -> int:
        """How many prices are to be put."""
        return sum(map(len, self.prices.values()))


def known_of(entries: Iterable[Mapping[str, Any]]) -> Known:
    """The rows of the service as `catalog.prices.list` shows them, moments as datetimes."""
    known: Known = defaultdict(list)
    for entry in entries:
        key = (entry["provider"], entry["model"], entry.get("variant") or "")
        insort(
            known[key],
            Version(_moment(entry["effective_from"]), int(entry["version"]), fields_of(entry)),
        )
    return known


def planned(
    found: PriceList,
    known: Known,
    providers: Iterable[Mapping[str, Any]],
    now: datetime,
    since: date | None = None,
) -> Plan:
    """What to put so that the catalogue says what the list says.

    Args:
        found: the list; aliases that another model of the service has are taken out of it.
        known: the rows of the service.
        providers: those of the service, as `catalog.providers.list` shows them.
        now: the moment from which new prices hold.
        since: from which day on rows also hold where nothing was in force then.
    """
    _leave_taken_aliases(found, known, now)
    plan = Plan(providers=[*_provider_puts(found.providers, providers)])
    ahead: dict[Key, list[Version]] = {}
    for row in found.rows:
        for one in _backdated(row, since):
            versions = ahead.setdefault(row.key, list(known.get(row.key, ())))
            moment = now if one.since is None else midnight(one.since)
            before = in_force(versions, moment)
            if before is not None and (one.past or _is_same(before, one)):
                plan.same += not one.past
                continue
            if one.past and moment >= now:
                continue
            plan.prices.setdefault((one.provider, one.model), []).append(_body(one, before))
            number = 0 if before is None else before.number
            insort(versions, Version(moment, number, one.fields))
    _losers_first(plan, known)
    return plan


def _backdated(row: ListedPrice, since: date | None) -> Iterator[ListedPrice]:
    """A price of a list without dates was so before too, for all that one knows."""
    if since is not None and row.since is None and not row.past:
        yield replace(row, since=since, past=True)
    yield row


def _is_same(before: Version, row: ListedPrice) -> bool:
    return canonical(before.fields) == canonical(row.fields)


def in_force(versions: list[Version], moment: datetime) -> Version | None:
    """The newest price that is valid at a moment."""
    at = bisect_right(versions, moment, key=lambda one: one.since)
    return versions[at - 1] if at else None


def _body(row: ListedPrice, before: Version | None) -> Body:
    """A put whose key is the same whenever the same list is imported over the same price."""
    body = row.body()
    version = 0 if before is None else before.number
    return {**body, "event_id": _event_id("prices", [body, str(row.since), version])}


def _event_id(of: str, what: object) -> str:
    return f"{of}-{blake2b(msgspec.json.encode(what, order='sorted'), digest_size=12).hexdigest()}"


def _provider_puts(
    wanted: Iterable[ListedProvider], providers: Iterable[Mapping[str, Any]]
) -> Iterator[Body]:
    taken: set[str] = set()
    for there in providers:
        taken |= {there.get("id") or there["name"], *(there.get("aliases") or ())}
    wanted = list(wanted)
    ids = {one.id for one in wanted}
    for one in wanted:
        if one.id in taken:
            continue
        taken.add(one.id)
        free = tuple(name for name in one.aliases if name not in taken and name not in ids)
        taken.update(free)
        body = replace(one, aliases=free).body()
        yield {**body, "event_id": _event_id("providers", body)}


def _leave_taken_aliases(found: PriceList, known: Known, now: datetime) -> None:
    """Take out names that another model of the service has and keeps."""
    owner = _owners(found, known, now)
    for at, row in enumerate(found.rows):
        given = row.fields.get("aliases")
        if not given:
            continue
        free = [name for name in given if owner.get((row.provider, name), row.model) == row.model]
        if len(free) == len(given):
            continue
        left = (row.provider, row.model, "an alias that another model of the service has")
        found.left_out += [left] * (len(given) - len(free))
        fields = {name: value for name, value in row.fields.items() if name != "aliases"}
        found.rows[at] = replace(row, fields=fields | ({"aliases": free} if free else {}))


def _owners(found: PriceList, known: Known, now: datetime) -> dict[tuple[str, str], str]:
    """Which model keeps a name: one that the list does not replace, or that has a row to come."""
    imported = {(row.provider, row.model) for row in found.rows}
    owner: dict[tuple[str, str], str] = {}
    for (provider, model, _), versions in known.items():
        kept = [one for one in versions if one.since > now]
        if (provider, model) not in imported:
            owner[provider, model] = model
            held = in_force(versions, now)
            kept += [] if held is None else [held]
        for one in kept:
            for name in one.fields.get("aliases", ()):
                owner.setdefault((provider, name), model)
    return owner


def _losers_first(plan: Plan, known: Known) -> None:
    """Rows that give up a name are put before those that may take it."""

    def keeps(item: tuple[tuple[str, str], list[Body]]) -> bool:
        (provider, model), bodies = item
        versions = known.get((provider, model, ""), ())
        before = set(versions[-1].fields.get("aliases", ())) if versions else set()
        return before <= set(bodies[-1].get("aliases", ()))

    plan.prices = dict(sorted(plan.prices.items(), key=keeps))


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    return datetime.fromisoformat(str(value))
