"""Units that are put, archived and listed: contract 1.1, section 2. Pure."""

from __future__ import annotations

from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.units import OWN_MAX, PER_CALL, Unit, has_field, unit_of
from actors.billing.fingerprint import fingerprint
from messages.catalog import UnitEntry, UnitPutReply, UnitsArchive, UnitsPut, UnitsReply
from messages.errors import InvalidRequest, RequestError
from messages.stored.catalog import UnitArchived, UnitPut


def put_unit(catalog: Catalog, ask: UnitsPut) -> UnitPut:
    """A unit, new or with another name or bound; an archived one is in use again.

    Raises:
        InvalidRequest: a name that is built in or has a field, another scale, or one unit more
            than `OWN_MAX`.
    """
    known = catalog.units.get(ask.id)
    if has_field(ask.id) or (known is not None and known.builtin):
        raise InvalidRequest(f"{ask.id} is built in, or kept for what is", "id")
    if known is None and catalog.units.own >= OWN_MAX:
        raise InvalidRequest(f"there are {OWN_MAX} units, which is the most", "id")
    scale = ask.scale if ask.scale is not None else 0 if known is None else known.scale
    if known is not None and scale != known.scale:
        raise InvalidRequest(f"{ask.id} has the scale {known.scale}, which never changes", "scale")
    return UnitPut(
        id=ask.id,
        name=ask.name or ask.id,
        scale=scale,
        max_per_call=ask.max_per_call or PER_CALL,
        version=catalog.version + 1,
        content=content_of_put(ask),
    )


def archive_unit(catalog: Catalog, ask: UnitsArchive) -> UnitArchived:
    """A unit that calls may not use any more; one that is archived stays so.

    Raises:
        RequestError: ``unknown_unit``, or ``invalid_request`` for one that is built in.
    """
    known = catalog.units.get(ask.id)
    if known is None:
        raise RequestError("unknown_unit", f"the unit {ask.id!r} is not known", field="id")
    if known.max_per_call is None or known.builtin:
        raise InvalidRequest(f"{ask.id} is built in", "id")
    return UnitArchived(
        id=known.id,
        name=known.name,
        scale=known.scale,
        max_per_call=known.max_per_call,
        version=catalog.version + 1,
        content=content_of_archive(ask),
    )


def content_of_put(ask: UnitsPut) -> str:
    """The digest of a unit that is put; what is left out is as its default."""
    parts = [ask.id, ask.name or ask.id, ask.scale or 0, ask.max_per_call or PER_CALL]
    return fingerprint(UnitsPut.__name__, parts)


def content_of_archive(ask: UnitsArchive) -> str:
    """The digest of a unit that is archived."""
    return fingerprint(UnitsArchive.__name__, [ask.id])


def answered(event: UnitPut | UnitArchived, key: str, seq: int, *, duplicate: bool) -> UnitPutReply:
    """The reply to a unit that was put or archived."""
    return UnitPutReply(
        unit=_entry(unit_of(event)),
        version=event.version,
        event_id=key,
        duplicate=duplicate,
        seq=seq,
    )


def units(catalog: Catalog) -> UnitsReply:
    """All units."""
    return UnitsReply(
        units=tuple(map(_entry, catalog.units.all)), version=catalog.version, seq=catalog.seq
    )


def _entry(unit: Unit) -> UnitEntry:
    return UnitEntry(
        id=unit.id,
        name=unit.name,
        scale=unit.scale,
        max_per_call=unit.max_per_call,
        builtin=unit.builtin,
        archived=unit.archived,
    )
