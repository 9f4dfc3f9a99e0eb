from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from actors.cli.importer.errors import BadInput, ServiceLost
from actors.cli.importer.plan import PlannedCall
from actors.cli.importer.rows import InputRow
from actors.cli.importer.sender import Sender
from actors.cli.importer.tally import ImportTally
from messages.errors import NoService, RequestError
from messages.usage import TrackReply


def reply_of(
    provider: str = "openai", tokens: int = 1, cost: str = "0", *, duplicate: bool = False
) -> TrackReply:
    return TrackReply(
        event_id="k",
        duplicate=duplicate,
        cost=Decimal(cost),
        cost_input=Decimal(0),
        cost_output=Decimal(0),
        cost_catalog=None,
        tokens_used=tokens,
        billing_period="2026-03",
        usage_status="active",
        priced="catalog",
        provider=provider,
        actual_provider_name=provider,
        late=False,
        hold_status=None,
        late_settle=False,
        alerts=(),
        seq=1,
    )


def test_the_tally_is_exact_and_keeps_what_was_counted_before_apart() -> None:
    tally = ImportTally()
    for _ in range(10):
        tally.settle(reply_of("openai", 3, "0.1"))
    tally.settle(reply_of("mistral", 5, "999999.999999999"))
    tally.settle(reply_of("mistral", 7, "0.000000001", duplicate=True))
    tally.refuse("mistral")
    tally.refuse(None)
    total = tally.total()
    assert (total.counted.calls, total.counted.tokens) == (11, 35)
    assert total.counted.cost == Decimal("1000000.999999999")
    assert (total.duplicates.calls, total.duplicates.cost) == (1, Decimal("1e-9"))
    assert total.refused == 2
    assert tally.settled == 14


def usage_of(user: str, number: int) -> PlannedCall:
    return PlannedCall(InputRow(number, number, {}, ()), user, {"event_id": str(number)})


class FakeService:
    """Answers requests when told to, in a seeded order, and keeps what it saw."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[None] = asyncio.Queue()
        self.waiting: list[tuple[PlannedCall, asyncio.Future[TrackReply]]] = []
        self.seen: dict[str, list[int]] = defaultdict(list)
        self.most = 0

    async def track(self, usage: PlannedCall) -> TrackReply:
        assert usage.user not in {other.user for other, _ in self.waiting}
        self.seen[usage.user].append(usage.row.number)
        future: asyncio.Future[TrackReply] = asyncio.get_running_loop().create_future()
        self.waiting.append((usage, future))
        self.arrived.put_nowait(None)
        self.most = max(self.most, len(self.waiting))
        return await future

    async def answer_all(self, rng: random.Random) -> None:
        while True:
            await self.arrived.get()
            _, future = self.waiting.pop(rng.randrange(len(self.waiting)))
            future.set_result(reply_of())


async def test_many_rows_are_in_flight_and_each_users_rows_stay_in_order() -> None:
    seed = 20260301
    print("seed", seed)
    rng = random.Random(seed)
    service = FakeService()
    settled: list[PlannedCall] = []
    sender = Sender(service.track, lambda usage, _: settled.append(usage), _never, in_flight=8)
    usages = [usage_of(f"u{rng.randrange(30)}", number) for number in range(2000)]
    answering = asyncio.create_task(service.answer_all(rng))
    await sender.run(usages)
    answering.cancel()
    assert len(settled) == len(usages)
    assert service.most == 8
    assert all(numbers == sorted(numbers) for numbers in service.seen.values())


async def test_a_refused_row_does_not_stop_the_others() -> None:
    refused: list[int] = []

    async def track(usage: PlannedCall) -> TrackReply:
        if usage.row.number % 2:
            raise RequestError("timestamp_out_of_range", "too old", field="timestamp")
        return reply_of()

    settled: list[int] = []
    sender = Sender(
        track,
        lambda usage, _: settled.append(usage.row.number),
        lambda usage, _: refused.append(usage.row.number),
        in_flight=4,
    )
    await sender.run(usage_of("u", number) for number in range(6))
    assert (settled, refused) == ([0, 2, 4], [1, 3, 5])


@pytest.mark.parametrize("failure", [NoService("away"), RequestError("unavailable", "starting")])
async def test_a_service_that_stays_away_ends_the_import(failure: Exception) -> None:
    sent: list[int] = []

    async def track(usage: PlannedCall) -> TrackReply:
        sent.append(usage.row.number)
        if usage.row.number == 2:
            raise failure
        return reply_of()

    with pytest.raises(ServiceLost):
        await Sender(track, _ignore, _never, in_flight=1).run(
            usage_of("u", number) for number in range(6)
        )
    assert sent == [0, 1, 2]  # what comes behind a row without an answer is not sent


async def test_a_file_that_breaks_off_ends_the_import_as_bad_input() -> None:
    def usages() -> Any:
        yield usage_of("u", 1)
        raise BadInput("Input/output error")

    async def track(_: PlannedCall) -> TrackReply:
        return reply_of()

    with pytest.raises(BadInput):
        await Sender(track, _ignore, _never, in_flight=1).run(usages())


def _ignore(_: PlannedCall, __: TrackReply) -> None:
    pass


def _never(usage: PlannedCall, error: RequestError) -> None:
    raise AssertionError(f"{usage} was refused: {error}")
