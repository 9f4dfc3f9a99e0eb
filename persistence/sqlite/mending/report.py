"""What a mend found and did, as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from messages.subjects import PARTITIONS
from messages.units import to_datetime
from persistence.chain.losses import Losses
from persistence.sqlite.mending.gaps import Gap, Gaps

NAMED_MAX: Final = 100
"""Users and keys of one range that are named."""


class Missing(NamedTuple):
    """Positions of which no source has a row.

    Attributes:
        first: the first one.
        last: the last one.
        users: whose rows they were, as far as anything is left of them.
        keys: their idempotency keys, likewise: such a call that is sent again counts again.
        unknown: of how many rows nothing is left.
        since: when the row before took effect, in RFC 3339; None if there is none.
        until: when the row behind did.
        partitions: whose rows may be among them: the chain proves of others that none is.
    """

    first: int
    last: int
    users: list[str]
    keys: list[str]
    unknown: int
    since: str | None
    until: str | None
    partitions: list[int]


class Report(NamedTuple):
    """What was found and done.

    Attributes:
        outcome: ``whole``: nothing of the log was damaged; ``mended``: it is in order again, but
            for what is missing; ``lost``: nothing was changed, since rows are missing;
            ``finished``: a mend that was interrupted is finished.
        dry_run: whether all that is only what would be.
        rows: how many rows the log has.
        last: its newest position.
        taken: how many of them are of each source.
        damaged: what was not as it was written, beside rows.
        made_anew: what is made anew.
        missing: what no source has.
        loose: rows that do not build on the one before them, as it was before: `verify` names them.
        without_personal: users of whom rows are taken from a backup without their personal
            fields, since nothing shows that these were not erased since.
        without_body: how many rows have their body in an archive that is damaged or not there.
        stay_lost: how many positions that were accepted as lost before a backup has a row of: none
            of them comes back.
        kept_in: the directory in which the damaged files are now.
    """

    outcome: str
    dry_run: bool
    rows: int
    last: int
    taken: dict[str, int]
    damaged: list[str]
    made_anew: list[str]
    missing: list[Missing]
    loose: list[int]
    without_personal: int
    without_body: int
    stay_lost: int
    kept_in: str | None


def missing_of(gaps: Gaps, accepted: Losses) -> list[Missing]:
    """What nobody accepted before."""
    return [_missing(*one) for one in gaps.missing(accepted)]


def _missing(first: int, last: int, gap: Gap) -> Missing:
    torn = [one for one in gap.torn if first <= one.seq <= last]
    return Missing(
        first,
        last,
        _some(one.user for one in torn),
        _some(one.key for one in torn if one.key is not None),
        last - first + 1 - len(torn),
        _text(gap.since),
        _text(gap.until),
        [one for one in range(PARTITIONS) if gap.partitions >> one & 1],
    )


def _some(texts: Iterable[str]) -> list[str]:
    return [*dict.fromkeys(texts)][:NAMED_MAX]


def _text(at: int | None) -> str | None:
    if at is None:
        return None
    try:
        return to_datetime(at).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return None


def as_data(report: Report) -> dict[str, Any]:
    """The same as one object of JSON."""
    return {**report._asdict(), "missing": [one._asdict() for one in report.missing]}


def lines(report: Report) -> Iterator[str]:
    """The same for people."""
    if report.outcome == "finished":
        yield "a mend that was interrupted is finished"
    for what in report.damaged:
        yield f"damaged: {what}"
    if report.taken:
        taken = ", ".join(f"{count:,} of {name}" for name, count in report.taken.items() if count)
        yield f"{report.rows:,} rows up to position {report.last:,}: {taken or 'none'}"
    for one in report.missing:
        yield _line(one)
    if report.loose:
        rows = ", ".join(map(str, report.loose[:NAMED_MAX]))
        yield f"rows that do not build on the one before them, kept as they are: {rows}"
    if report.without_personal:
        yield (
            f"of {report.without_personal:,} users, rows of a backup without their personal fields:"
            " nothing shows that these were not erased since"
        )
    if report.without_body:
        yield (
            f"{report.without_body:,} rows have their body in an archive that is damaged or not"
            " there: put the file back, or give a backup that has them"
        )
    if report.stay_lost:
        yield (
            f"{report.stay_lost:,} rows that were accepted as lost are in a backup, and stay out:"
            " what was written since stands in for them. To have them back, and nothing of what"
            " was written since, meterd restore that backup"
        )
    yield from _done(report)


def _done(report: Report) -> Iterator[str]:
    if report.outcome == "lost":
        yield "nothing was changed: give --accept-loss to go on without these rows"
        return
    if report.outcome == "whole":
        yield "nothing of the log is damaged"
    for what in report.made_anew:
        yield f"{'would be ' if report.dry_run else ''}made anew: {what}"
    if report.kept_in:
        yield f"the damaged files are in {report.kept_in}"


def _line(one: Missing) -> str:
    rows = f"row {one.first:,}" if one.first == one.last else f"rows {one.first:,} to {one.last:,}"
    said = [", ".join(one.users)] if one.users else []
    if one.unknown:
        said.append(f"{one.unknown:,} of unknown users" if said else "of unknown users")
    days = sorted({text[:10] for text in (one.since, one.until) if text})
    keys = f"; keys {', '.join(one.keys)}" if one.keys else ""
    when = f" of {' to '.join(days)}" if days else ""
    return (
        f"missing: {rows}{when}, {' and '.join(said)}{keys}. A call of these that is sent again"
        " counts again"
    )
