"""Walks over pages: of a user's log, and of the users."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from messages.codec import decode_event
from messages.stored.detail import UsageDetail
from messages.stored.events import (
    UsageRecorded,
)
from persistence.records import Row
from tests.sim.world.history import Book, Sent


@dataclass
class Walk:
    """Pages that follow each other; ``first`` is what was durable when the walk began."""

    user: str
    filters: dict[str, Any]
    pages: list[Sent] = field(default_factory=list)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What the pages were answered."""
        return [sent.answer.body for sent in self.pages if sent.answer is not None]

    @property
    def whole(self) -> bool:
        """Whether it came to the end."""
        bodies = self.bodies
        return bool(bodies) and bodies[-1]["next_cursor"] is None


LABELS = ("model_used", "key", "outcome", "tags")
"""Filters of which the live state keeps no counts."""


def check_log_walk(walk: Walk, rows: list[Row]) -> None:
    """It shows what was durable when it began, each event once, newest first, and nothing else."""
    bodies = walk.bodies
    if not bodies:
        return
    limit = walk.filters.get("limit", 50)
    wanted = [
        row.seq
        for row in reversed(rows)
        if row.user == walk.user and row.seq <= bodies[0]["seq"] and _matches(row, walk.filters)
    ]
    shown = [entry["seq"] for body in bodies for entry in body["logs"]]
    assert shown == (wanted if walk.whole else wanted[: len(shown)]), (walk, shown, wanted)
    for sent, body in zip(walk.pages, bodies, strict=True):
        assert len(body["logs"]) <= limit, sent
        assert body["next_cursor"] is None or len(body["logs"]) == limit, sent
    counts = len(set(walk.filters) & {"provider", "billing_period"}) < 2
    counts = counts and not {"since", "until", *LABELS} & {
        n for n, v in walk.filters.items() if v != {}
    }
    assert bodies[0]["total_count"] == (len(wanted) if counts else None), (walk, len(wanted))


def _matches(row: Row, filters: dict[str, Any]) -> bool:
    event = decode_event(row.kind, row.body)
    if not isinstance(event, UsageRecorded):
        return False
    made = row.at if event.timestamp is None else event.timestamp
    return (
        filters.get("provider") in {None, event.provider}
        and filters.get("billing_period") in {None, event.billing_period}
        and filters.get("since", made) <= made < filters.get("until", made + 1)
        and _has_labels(event, filters)
    )


def _has_labels(event: UsageRecorded, filters: dict[str, Any]) -> bool:
    said = UsageDetail() if event.detail is None else event.detail
    outcome = said.outcome or ("ok" if event.status_code < 400 else "failed")
    return (
        filters.get("model_used") in {None, event.model}
        and filters.get("key") in {None, said.key}
        and filters.get("outcome") in {None, outcome}
        and {*filters.get("tags", {}).items()} <= {*(said.tags or {}).items()}
    )


def check_user_walk(walk: Walk, book: Book, rows: list[Row]) -> None:
    """It shows users in the order of their ids, each once: all who had a log when it began."""
    bodies = walk.bodies
    if not bodies:
        return
    shown = [entry["user_id"] for body in bodies for entry in body["users"]]
    assert shown == sorted(set(shown)), walk
    began, ended = walk.pages[0].durable, walk.pages[-1].high
    before = {row.user for row in rows if row.user and row.seq <= began}
    until = {row.user for row in rows if row.user and row.seq <= ended}
    assert set(shown) <= until, (walk, until)
    assert not walk.whole or before <= set(shown), (walk, before)
