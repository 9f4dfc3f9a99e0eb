"""Every verb of a user, while writes and reads fail and the service ends and begins again."""

from __future__ import annotations

import asyncio
import random
from typing import Final

import pytest

from messages.units import MICROS_PER_DAY, MICROS_PER_SECOND, to_datetime
from tests.support.rig import Rig, without_waits
from tests.world.book import Book, Sent
from tests.world.checks import check_holds, check_log, check_pages, check_repeats, check_replay
from tests.world.clients import Client
from tests.world.serial import Serial
from tests.world.service import states
from tests.world.trouble import live

SEEDS: Final = range(40)
USERS: Final = ("alice", "bob", "carol", "dora", "é@x.org")
CLIENTS: Final = 7
CALLS: Final = 40
SECOND: Final = MICROS_PER_SECOND
JUMPS: Final = (
    *(SECOND, SECOND, 30 * SECOND, 61 * SECOND, 3_600 * SECOND, -SECOND, -3_600 * SECOND),
    *(MICROS_PER_DAY, 9 * MICROS_PER_DAY, 31 * MICROS_PER_DAY),
)


async def run(seed: int) -> Book:
    rng = random.Random(seed)
    book = Book(rng, USERS, JUMPS)
    clients = [Client(book, number, random.Random(rng.random())) for number in range(CLIENTS)]
    await live(book, [client.run(CALLS) for client in clients])
    return book


async def judge(book: Book) -> int:
    """Check all that must hold at the end; how many answers were compared with the model."""
    live = await states(book.running, book.users)
    for user in book.users:
        for verb in ("enforce", "stats", "holds", "trends", "alerts", "subscription", "logs"):
            body = {"provider": "openai"} if verb == "enforce" else {}
            sent = Sent(user, verb, body)
            book.begin_asking(sent)
            sent.answer = await book.try_once(sent)
            assert sent.answer is not None
            if verb == "holds":
                check_holds(book, user, sent.answer.body["holds"], book.running.clock.at)
    assert await states(book.running, book.users) == live, "a read changed something"
    await book.end(crash=True)

    rows = await book.journal.rows(0, 10**6)
    check_log(book, rows)
    check_pages(book, rows)
    compared = 0
    for user in book.users:
        mine = [row for row in rows if row.user == user]
        if mine:
            check_replay(user, mine, live[user])
        compared += Serial(book, user, mine).check()
    for forget in (False, True):
        if forget:
            book.journal._snapshots.clear()
        again = await Rig.start(book.journal, at=book.at)
        assert await states(again, book.users) == live, "replay is not what was live"
        if forget:
            await check_repeats(book, again)
        await again.stop()
    return compared


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_fails_every_answer_is_one_of_a_serial_history(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    print(f"seed {seed}")
    without_waits(monkeypatch)
    async with asyncio.timeout(60):
        book = await run(seed)
        compared = await judge(book)
    print(dict(book.events), compared, "compared", to_datetime(book.at))


async def test_a_seed_makes_the_same_history_again(monkeypatch: pytest.MonkeyPatch) -> None:
    without_waits(monkeypatch)
    one, other = await run(0), await run(0)
    assert one.journal._rows == other.journal._rows
    assert one.sent == other.sent
    assert one.events == other.events
    for book in (one, other):
        await book.end(crash=True)
