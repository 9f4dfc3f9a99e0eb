"""The contract of `Outbox`, held against every implementation."""

from __future__ import annotations

import random

from persistence.journal import Journal, Outbox
from persistence.records import Row
from tests.support.rows import make_rows

ALL = 1_000_000


async def test_an_empty_outbox_has_nothing_and_has_published_nothing(journal: Outbox) -> None:
    assert await journal.notices(0, ALL) == []
    assert await journal.published() == 0


async def test_notices_come_in_the_order_of_the_log_from_any_position(
    journal: Journal, random_: random.Random
) -> None:
    model: list[Row] = []
    for _ in range(20):
        rows = make_rows(random_, len(model) + 1, random_.randrange(1, 40))
        await journal.append(rows)
        model += rows
        at, limit = random_.randrange(len(model) + 2), random_.randrange(1, 30)
        notices = [row for row in model[at:] if row.notify]
        assert await journal.notices(at, limit) == notices[:limit]


async def test_the_published_position_is_kept(journal: Outbox) -> None:
    await journal.mark_published(17)
    assert await journal.published() == 17

    await journal.mark_published(18)
    assert await journal.published() == 18
