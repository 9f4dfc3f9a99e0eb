"""The streams of alerts and events, on real servers: who was away catches up, nothing is lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from actors.cli.looking import settle
from messages.client.client import UsageClient
from messages.errors import AnswerBlocked
from messages.subjects import PREFIX, request_subject
from tests.support.nats import NatsServer, start_nats_server
from tests.support.service import Service

STREAM = "METERD_ALERTS"
EVENT_STREAM = "METERD_EVENTS"
ALERTS = f"{PREFIX}.alert.>"
EVENTS = f"{PREFIX}.event.>"
WAIT_S = 60


@pytest.fixture
async def client(up: Service) -> AsyncIterator[Client]:
    """A connection to the server of `up`."""
    connection = await nats.connect(up.url)
    yield connection
    await connection.close()


async def ask(client: Client, verb: str, user: str, **body: Any) -> Any:
    subject = request_subject(PREFIX, verb, user)
    return json.loads(
        (await client.request(subject, json.dumps(body).encode(), timeout=WAIT_S)).data
    )


async def use_up(client: Client, user: str) -> list[str]:
    """Reach every threshold of one limit; the alert ids."""
    ids: list[str] = []
    for _ in range(10):
        ids += (await ask(client, "track", user, provider="exa"))["alerts"]
    assert len(ids) == 3
    return ids


async def kept(js: JetStreamContext, stream: str, subjects: str, count: int) -> list[Any]:
    """The first notices of a stream, for a subscriber that was away."""
    subscription = await js.subscribe(subjects, stream=stream, ordered_consumer=True)
    found = [await subscription.next_msg(timeout=WAIT_S) for _ in range(count)]
    await subscription.unsubscribe()
    bodies = [json.loads(message.data) for message in found]
    ids = [(message.headers or {})["Nats-Msg-Id"] for message in found]
    assert [body["id"] for body in bodies] == ids
    return bodies


async def stored(js: JetStreamContext, count: int) -> list[str]:
    """The ids of the first alerts of the stream, for a subscriber that was away."""
    return [alert["id"] for alert in await kept(js, STREAM, ALERTS, count)]


async def events(js: JetStreamContext, count: int) -> list[tuple[str, str]]:
    """The first events of the stream: kind and user."""
    found = await kept(js, EVENT_STREAM, EVENTS, count)
    return [(event["kind"], event["user_id"]) for event in found]


async def test_a_subscriber_that_was_away_catches_up(client: Client) -> None:
    ids = await use_up(client, "alice") + await use_up(client, "bob")
    assert await stored(client.jetstream(), 6) == ids


async def test_a_subscriber_of_events_that_was_away_catches_up(client: Client) -> None:
    await ask(client, "track", "alice", provider="exa")
    await ask(client, "subscribe", "alice", plan="Pro", billing_cycle="monthly")
    await ask(client, "track", "bob", provider="exa", timestamp=last_month())
    assert await events(client.jetstream(), 6) == [
        ("period_opened", "alice"),
        ("period_closed", "alice"),
        ("period_opened", "alice"),
        ("subscription_changed", "alice"),
        ("period_opened", "bob"),
        ("period_closed", "bob"),
    ]


def last_month() -> str:
    """A moment of last month to which a call may be late."""
    now = datetime.now(UTC)
    moment = min(now.replace(day=1) - timedelta(days=1), now - timedelta(days=2))
    return moment.isoformat()


async def test_a_message_of_jetstream_on_a_verb_is_no_request(client: Client) -> None:
    await use_up(client, "alice")
    js = client.jetstream()
    await js.add_consumer(STREAM, durable_name="c", ack_policy="none", filter_subject="none.>")
    subject = request_subject(PREFIX, "reset", "alice")
    seen = await client.subscribe(f"{PREFIX}.>")
    await settle(client)
    request = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.c"
    await client.publish(request, b'{"batch": 1, "no_wait": true}', reply=subject)
    while True:  # the request itself may be heard too
        message = await seen.next_msg(timeout=WAIT_S)
        if message.subject.endswith(".reset.alice"):
            break
    # The server has it published where the caller said, and an empty body is a good one.
    assert (message.data, (message.headers or {})["Status"]) == (b"", "404")
    assert (await ask(client, "stats", "alice"))["total_calls"] == 10


async def test_a_subscriber_that_is_there_hears_each_alert_as_it_comes(client: Client) -> None:
    subscription = await client.subscribe(ALERTS)
    ids = await use_up(client, "alice")
    heard = [json.loads((await subscription.next_msg(timeout=WAIT_S)).data) for _ in ids]
    assert [alert["id"] for alert in heard] == ids


async def test_a_stream_that_was_deleted_is_made_again_and_no_alert_is_lost(
    client: Client,
) -> None:
    js = client.jetstream()
    first = await use_up(client, "alice")
    assert await stored(js, 3) == first
    await js.delete_stream(STREAM)
    heard = await client.subscribe(ALERTS)
    second = await use_up(client, "bob")
    found: set[str] = set()
    while not set(second) <= found:
        message = await heard.next_msg(timeout=WAIT_S)
        found.add(json.loads(message.data)["id"])
    third = await use_up(client, "carol")
    ids: list[str] = []
    subscription = await js.subscribe(ALERTS, stream=STREAM, ordered_consumer=True)
    while not set(third) <= set(ids):
        ids.append(json.loads((await subscription.next_msg(timeout=WAIT_S)).data)["id"])
    assert len(ids) == len(set(ids))


async def test_after_kill_9_every_alert_is_in_the_stream_once(
    nats_with_stream: NatsServer, tmp_path: Path
) -> None:
    env = {"METERD_NATS_URL": nats_with_stream.url}
    connection = await nats.connect(nats_with_stream.url)
    with Service(tmp_path / "data", command="serve", env=env) as service:
        ids: list[str] = []
        for number in range(4):
            ids += await use_up(connection, f"u{number}")
            service.kill()
            service.start()
        js = connection.jetstream()
        assert sorted(await stored(js, len(ids))) == sorted(ids)
        assert (await js.stream_info(STREAM)).state.messages == len(ids)
        assert await events(js, 4) == [("period_opened", f"u{number}") for number in range(4)]
        assert (await js.stream_info(EVENT_STREAM)).state.messages == 4
    await connection.close()


async def test_a_stream_of_another_prefix_is_widened(
    nats_with_stream: NatsServer, tmp_path: Path
) -> None:
    connection = await nats.connect(nats_with_stream.url)
    js = connection.jetstream()
    await js.add_stream(name=STREAM, subjects=["other.v1.alert.>"])
    env = {"METERD_NATS_URL": nats_with_stream.url}
    with Service(tmp_path / "data", command="serve", env=env):
        ids = await use_up(connection, "alice")
        assert await stored(js, 3) == ids
        subjects = (await js.stream_info(STREAM)).config.subjects
    assert subjects == ["other.v1.alert.>", ALERTS]
    await connection.close()


async def test_without_jetstream_alerts_are_published_plainly(
    serve: Service, nats_server: NatsServer
) -> None:
    connection = await nats.connect(nats_server.url)
    subscription = await connection.subscribe(ALERTS)
    ids = await use_up(connection, "alice")
    heard = [json.loads((await subscription.next_msg(timeout=WAIT_S)).data) for _ in ids]
    assert [alert["id"] for alert in heard] == ids
    assert {line["stream"] for line in no_stream(serve)} == {STREAM, EVENT_STREAM}
    await connection.close()


def no_stream(service: Service) -> list[Any]:
    """The log lines that say of a stream that it is not used."""
    return [json.loads(line) for line in service.stderr.splitlines() if '"no_stream"' in line]


async def test_a_stream_of_somebody_else_in_the_way_leaves_events_plain_and_alerts_streamed(
    nats_with_stream: NatsServer, tmp_path: Path
) -> None:
    connection = await nats.connect(nats_with_stream.url)
    js = connection.jetstream()
    await js.add_stream(name="OTHER", subjects=[f"{PREFIX}.event.reset.*"])
    heard = await connection.subscribe(EVENTS)
    await settle(connection)
    env = {"METERD_NATS_URL": nats_with_stream.url}
    with Service(tmp_path / "data", command="serve", env=env) as service:
        ids = await use_up(connection, "alice")
        assert await stored(js, 3) == ids
        event = json.loads((await heard.next_msg(timeout=WAIT_S)).data)
        assert (event["kind"], event["user_id"]) == ("period_opened", "alice")
        assert {line["stream"] for line in no_stream(service)} == {EVENT_STREAM}
    await connection.close()


async def test_each_stream_can_be_turned_off_by_itself(
    nats_with_stream: NatsServer, tmp_path: Path
) -> None:
    connection = await nats.connect(nats_with_stream.url)
    js = connection.jetstream()
    env = {"METERD_NATS_URL": nats_with_stream.url, "METERD_ALERT_STREAM": "off"}
    with Service(tmp_path / "data", command="serve", env=env):
        await use_up(connection, "alice")
        assert await events(js, 1) == [("period_opened", "alice")]
    assert [stream.config.name for stream in await js.streams_info()] == [EVENT_STREAM]
    await connection.close()


@pytest.fixture
def nats_with_stream(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server with JetStream."""
    store = json.dumps(str(tmp_path / "jetstream"))
    server = start_nats_server(tmp_path, f"jetstream: {{ store_dir: {store} }}")
    yield server
    server.kill()


@pytest.mark.parametrize("captured", ["usage.v1.>", "usage.v1.*.*", "usage.>"])
async def test_a_stream_that_captures_requests_is_named_at_the_start_and_to_the_caller(
    tmp_path: Path, captured: str
) -> None:
    server = start_nats_server(tmp_path, f"jetstream: {{ store_dir: '{tmp_path}/js' }}")
    settings = {"METERD_NATS_URL": server.url, "METERD_ALERT_STREAM": "off"}
    connection = await nats.connect(server.url)
    jetstream = connection.jetstream()
    if captured == "usage.>":  # and callers see nothing
        await jetstream.add_stream(name="OTHERS", subjects=[captured], no_ack=True)
    else:
        await jetstream.add_stream(name="OTHERS", subjects=[captured])
    await jetstream.add_stream(name="ALERTS", subjects=["x.v1.alert.>"])
    with Service(tmp_path / "data", command="serve", env=settings) as service:
        async with await UsageClient.connect(server.url, budget_s=60) as client:
            if captured == "usage.>":
                assert (await client.track("alice", provider="exa")).usage_logged
            else:
                with pytest.raises(AnswerBlocked, match="stream OTHERS captures") as found:
                    await client.track("alice", provider="exa", event_id="k")
                assert found.value.event_id == "k"
        while "requests_captured" not in service.stderr:
            await settle(connection)
        assert service.terminate() == 0
        lines = [line for line in service.stderr.splitlines() if "requests_captured" in line]
        assert [json.loads(line)["stream"] for line in lines] == ["OTHERS"]
    await connection.close()
    server.kill()
