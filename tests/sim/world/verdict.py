"""The judgement of a life by its log and by what clients were told: simulated or real."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from messages.catalog import CATALOG_USER
from persistence.records import Row
from tests.sim.world.catalogs import Catalogs, check_entry
from tests.sim.world.checks import check_holds, check_log, check_replay
from tests.sim.world.history import Book, Sent
from tests.sim.world.invariants import Invariant, judging
from tests.sim.world.linearizability import Serial
from tests.sim.world.order import check_order
from tests.sim.world.pagination import Walk, check_log_walk, check_user_walk

READS: Final = ("enforce", "stats", "holds", "trends", "alerts", "subscription", "logs")


async def read_all(book: Book, ask: Callable[[Sent], Awaitable[None]]) -> Sent:
    """Read all that there is of each user, and note it; what the list of users was answered."""
    for user in book.users:
        for verb in READS:
            sent = Sent(user, verb, {"provider": "openai"} if verb == "enforce" else {})
            await ask(sent)
            assert sent.answer is not None
            if verb == "holds":
                check_holds(book, user, sent.answer.body["holds"], sent.at or book.clock.now())
            elif verb == "logs":
                book.walks.append(Walk(user, sent.body, [sent]))
    listed = Sent(CATALOG_USER, "catalog.users.list", {})
    await ask(listed)
    return listed


def check_told(
    book: Book, rows: list[Row], listed: Sent, live: dict[str, bytes] | None = None
) -> int:
    """Hold a log and all that was told against each other, and both against the model.

    Args:
        book: what was told.
        rows: the log.
        listed: the list of users at the end.
        live: the states at the end, if they are known.

    Returns:
        How many answers were compared with the model.
    """
    check_log(book, rows)
    check_order(book.arrivals)
    with judging(Invariant.CONTRACT):
        for walk in book.walks:
            if walk.user == CATALOG_USER:
                check_user_walk(walk, book, rows)
            else:
                check_log_walk(walk, rows)
        catalogs = Catalogs(book, rows)
        compared = catalogs.check()
    assert listed.answer is not None
    entries = {entry["user_id"]: entry for entry in listed.answer.body["users"]}
    for user in book.users:
        mine = [row for row in rows if row.user == user]
        if mine and live is not None:
            check_replay(user, mine, live[user])
        with judging(Invariant.CONTRACT):
            serial = Serial(book, user, mine, catalogs)
            compared += serial.check()
            assert (user in entries) == bool(mine), (user, entries)
            if mine and listed.at is not None:
                check_entry(entries[user], serial.model, listed.at)
    return compared
