"""The caller's side against a real nats-server: a small responder, then the real service."""

from __future__ import annotations

import asyncio
import csv
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from actors.cli.importer.mapping import FieldMap
from actors.cli.importer.plan import ImportPlan, PlannedCall, Timestamps
from actors.cli.importer.sender import Sender
from actors.cli.importer.tally import ImportTally
from actors.cli.looking import settle
from messages.client.client import UsageClient
from messages.client.transport import CONNECTION
from messages.codec import encode_reply, error_headers
from messages.errors import ErrorReply, NoService, RequestError
from messages.usage import TrackReply
from tests.support.nats import NatsServer, start_nats_server
from tests.support.service import Service

TRACE = Path(__file__).parents[1] / "traces" / "usage_conv.csv"
ROWS = 3000
PATIENT: dict[str, Any] = {"budget_s": 60, "attempt_s": 60}
"""Far longer than anything takes on a busy machine; only a test that fails waits so long."""

Answer = Callable[[dict[str, Any]], object]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = start_nats_server(tmp_path)
    yield server
    server.kill()


@asynccontextmanager
async def responder(url: str, answer: Answer) -> AsyncIterator[Client]:
    """Answers every request with what ``answer`` makes of its body; None: not at all."""

    async def reply(message: Msg) -> None:
        try:
            found, headers = answer(msgspec.json.decode(message.data)), None
        except RequestError as error:
            found, headers = ErrorReply(error.body()), error_headers(error)
        if found is not None:
            await nc.publish(message.reply, encode_reply(found), headers=headers)

    nc = await nats.connect(url, **CONNECTION | {"error_cb": _ignore})
    await nc.subscribe("usage.v1.*.*", cb=reply)
    await settle(nc)
    yield nc
    await nc.close()


async def _ignore(_: Exception) -> None:
    """A server that is gone is what these tests are about."""


class Patience:
    """The sleep of a client; `waited` is set once a call has failed and waits to try again."""

    def __init__(self) -> None:
        self.waited = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.waited.set()
        await asyncio.sleep(seconds)


def tracked(body: dict[str, Any]) -> TrackReply:
    return TrackReply(
        event_id=body["event_id"],
        cost=Decimal("0.100000001"),
        cost_input=Decimal(0),
        cost_output=Decimal(0),
        cost_catalog=None,
        tokens_used=body.get("tokens_input", 0),
        billing_period="2026-03",
        usage_status="active",
        priced="catalog",
        provider=body["provider"],
        actual_provider_name=body["provider"],
        late=False,
        hold_status=None,
        late_settle=False,
        alerts=(),
        seq=1,
    )


async def test_a_thousand_calls_at_a_time_get_each_its_own_exact_reply(server: NatsServer) -> None:
    async with (
        responder(server.url, tracked),
        await UsageClient.connect(server.url, **PATIENT) as client,
    ):
        replies = await asyncio.gather(
            *(client.track(f"u{n}", provider="openai", tokens_input=n) for n in range(1000))
        )
    assert [reply.tokens_used for reply in replies] == list(range(1000))
    assert all(reply.cost == Decimal("0.100000001") for reply in replies)


async def test_a_reply_that_got_lost_is_asked_for_again_with_the_same_key(
    server: NatsServer,
) -> None:
    bodies: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> object:
        bodies.append(body)
        return tracked(body) if len(bodies) > 1 else None

    async with (
        responder(server.url, answer),
        await UsageClient.connect(server.url, budget_s=60, attempt_s=0.1) as client,
    ):
        reply = await client.track("alice", provider="openai")
    assert len(bodies) > 1  # the second may be late, too
    assert all(body == bodies[0] for body in bodies)
    assert reply.event_id == bodies[0]["event_id"]


async def test_a_call_waits_for_a_service_that_is_still_starting(server: NatsServer) -> None:
    patience = Patience()
    nc = await nats.connect(server.url)
    client = UsageClient(nc, budget_s=30, sleep=patience.sleep)
    call = asyncio.create_task(client.track("alice", provider="openai"))
    await patience.waited.wait()
    async with responder(server.url, tracked):
        assert (await call).usage_logged
    await client.close()


async def test_without_a_service_the_call_ends_within_its_budget(server: NatsServer) -> None:
    time = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal time
        time += seconds

    nc = await nats.connect(server.url)
    client = UsageClient(nc, **PATIENT, clock=lambda: time, sleep=sleep)
    with pytest.raises(NoService, match="no meterd answers"):
        await client.stats("alice")
    assert 59 < time <= 60
    await client.close()


async def test_an_error_reply_is_raised_with_its_code_field_and_error_id(
    server: NatsServer,
) -> None:
    def answer(_: dict[str, Any]) -> object:
        raise RequestError("internal", "a defect", field="cost", error_id="e-1")

    async with (
        responder(server.url, answer),
        await UsageClient.connect(server.url, **PATIENT) as client,
    ):
        with pytest.raises(RequestError) as caught:
            await client.track("alice", provider="openai")
    error = caught.value
    assert (error.code, error.field, error.error_id) == ("internal", "cost", "e-1")


async def test_a_body_that_is_too_large_leaves_the_connection_as_it_is(server: NatsServer) -> None:
    async with (
        responder(server.url, tracked),
        await UsageClient.connect(server.url, **PATIENT) as client,
    ):
        with pytest.raises(RequestError, match="too_large"):
            await client.track("alice", provider="openai", error_message="x" * 70_000)
        assert (await client.track("alice", provider="openai")).usage_logged


async def test_a_call_outlives_a_nats_server_that_is_killed_and_started_again(
    server: NatsServer, tmp_path: Path
) -> None:
    patience = Patience()
    lost = asyncio.Event()

    async def on_lost() -> None:
        lost.set()

    options = CONNECTION | {"error_cb": _ignore, "disconnected_cb": on_lost}
    async with responder(server.url, tracked):
        nc = await nats.connect(server.url, **options)
        client = UsageClient(nc, budget_s=30, sleep=patience.sleep)
        server.kill()
        await lost.wait()
        call = asyncio.create_task(client.track("alice", provider="openai"))
        await patience.waited.wait()
        again = start_nats_server(tmp_path, port=server.port)
        try:
            assert (await call).usage_logged
            await client.close()
        finally:
            again.stop()


async def test_no_server_is_no_service_and_no_password_is_shown(server: NatsServer) -> None:
    server.kill()
    url = f"nats://alice:secret@127.0.0.1:{server.port}"
    with pytest.raises(NoService, match="cannot connect to nats://127") as caught:
        await UsageClient.connect(url, budget_s=0.1)
    assert "secret" not in str(caught.value)


async def test_credentials_are_passed_on_and_wrong_ones_are_no_service(tmp_path: Path) -> None:
    server = start_nats_server(tmp_path, "authorization { user: alice, password: secret }")
    try:
        async with await UsageClient.connect(
            server.url, **PATIENT, user="alice", password="secret"
        ):
            pass
        with pytest.raises(NoService, match="Authorization"):
            await UsageClient.connect(
                server.url, **PATIENT, user="alice", password="wrong", allow_reconnect=False
            )
    finally:
        server.stop()


async def test_an_import_outlives_a_service_that_is_killed_and_counts_each_row_once(
    server: NatsServer, tmp_path: Path
) -> None:
    """kill -9 in the middle, with rows in flight; then the whole import once more."""
    trace = _head_of_trace(tmp_path / "trace.csv")
    tokens = _tokens_by_user(trace)
    env = {"METERD_NATS_URL": server.url}
    with Service(tmp_path / "data", command="serve", env=env) as service:
        settled = 0

        def on_settled() -> None:
            nonlocal settled
            settled += 1
            if settled == ROWS // 3:
                service.kill()
                service.start()

        first = await _import(server.url, trace, on_settled)
        again = await _import(server.url, trace, lambda: None)
        async with await UsageClient.connect(server.url, **PATIENT) as client:
            stats = {user: await client.stats(user) for user in tokens}
        assert service.terminate() == 0
    total = first.total()
    assert (total.counted.calls + total.duplicates.calls, total.refused) == (ROWS, 0)
    assert again.total().counted.calls == 0
    assert again.total().duplicates.calls == ROWS
    assert {user: reply.total_tokens for user, reply in stats.items()} == tokens
    cost = sum((reply.total_cost for reply in stats.values()), Decimal(0))
    assert cost == total.counted.cost + total.duplicates.cost == again.total().duplicates.cost


def _head_of_trace(path: Path) -> Path:
    with TRACE.open() as trace:
        path.write_text("".join(line for line, _ in zip(trace, range(ROWS + 1), strict=False)))
    return path


def _tokens_by_user(path: Path) -> dict[str, int]:
    found: Counter[str] = Counter()
    with path.open() as file:
        for row in csv.DictReader(file):
            found[row["user"]] += int(row["prompt_tokens"]) + int(row["completion_tokens"])
    return dict(found)


async def _import(url: str, path: Path, on_settled: Callable[[], None]) -> ImportTally:
    fields = FieldMap(
        ("model_used=model", "tokens_input=prompt_tokens", "tokens_output=completion_tokens"),
        (),
        lambda _: None,
    )
    plan = ImportPlan(path, "csv", fields, Timestamps.SHIFT, datetime.now(UTC))
    tally = ImportTally()
    order: dict[str, list[int]] = defaultdict(list)

    def settle(usage: PlannedCall, reply: TrackReply) -> None:
        tally.settle(reply)
        order[usage.user].append(usage.row.number)
        on_settled()

    def refuse(usage: PlannedCall, error: RequestError) -> None:
        raise AssertionError(f"row {usage.row.number}: {error}")

    async with await UsageClient.connect(url, budget_s=60, attempt_s=0.5) as client:

        async def track(usage: PlannedCall) -> TrackReply:
            return await client.track(usage.user, **usage.body)

        await Sender(track, settle, refuse, in_flight=64).run(plan.usages(_never))
    assert all(numbers == sorted(numbers) for numbers in order.values())
    return tally


def _never(*refused: object) -> None:
    raise AssertionError(refused)
