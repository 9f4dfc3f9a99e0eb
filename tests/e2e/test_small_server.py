"""A nats-server with a small max_payload: replies fit, and none ends the connection."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from actors.edge.connection import Connection
from messages.subjects import PREFIX, request_subject
from tests.support.nats import start_nats_server
from tests.support.raw import Message, RawClient
from tests.support.service import Service

MAX_PAYLOAD = 16 * 1024
LOGS = request_subject(PREFIX, "logs", "alice")
TRACK = request_subject(PREFIX, "track", "alice")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Service]:
    server = start_nats_server(tmp_path, f"max_payload: {MAX_PAYLOAD}")
    url = {"METERD_NATS_URL": server.url}
    with Service(tmp_path / "data", command="serve", env=url) as service:
        yield service
        assert service.terminate() == 0
    server.kill()


def track(client: RawClient, key: str, **fields: object) -> None:
    reply = client.request(TRACK, {"provider": "exa", "event_id": key, **fields})
    assert reply.json()["usage_logged"]


def test_pages_of_the_log_fit_and_a_walk_shows_every_event_once(small: Service) -> None:
    keys = [f"k{n}" for n in range(30)]
    with RawClient(small.url) as client:
        for key in keys:
            track(client, key, error_message="x" * 2_000)
        shown: list[str] = []
        cursor = None
        while True:
            reply = client.request(LOGS, {"limit": 1_000, "cursor": cursor})
            assert len(reply.body) <= MAX_PAYLOAD
            shown += [entry["event_id"] for entry in reply.json()["logs"]]
            cursor = reply.json()["next_cursor"]
            if cursor is None:
                break
    assert shown == keys[::-1]


def test_lists_of_a_user_are_cut_before_they_are_too_large(small: Service) -> None:
    with RawClient(small.url) as client:
        for _ in range(12):
            client.request(TRACK, {"provider": "exa", "cost": 5})
            client.request(request_subject(PREFIX, "reset", "alice"))
        holds = {"provider": "gemini", "actual_provider_name": "x" * 256}
        for _ in range(40):
            assert client.request(request_subject(PREFIX, "hold", "alice"), holds).json()["allowed"]
        alerts = client.request(request_subject(PREFIX, "alerts", "alice")).json()
        assert 0 < len(alerts["alerts"]) < alerts["total"]
        unread = {"unread_only": True}
        again = client.request(request_subject(PREFIX, "alerts", "alice"), unread).json()
        assert again["alerts"] == alerts["alerts"]
        found = client.request(request_subject(PREFIX, "holds", "alice")).json()
        assert 0 < len(found["holds"]) < found["held"]["open"] == 40


@pytest.mark.parametrize("what", ["plans", "prices", "users"])
def test_lists_of_the_catalogue_come_in_pages_that_fit(small: Service, what: str) -> None:
    names = [f"{'x' * 100}{n}" for n in range(60)]
    fields = {"tier": "x", "price_monthly": 1, "price_yearly": 1, "limits": {}, "features": []}
    with RawClient(small.url) as client:
        for name in names:
            put = {"name": name, **fields}
            assert client.request(f"{PREFIX}.catalog.plans.put", put).json()["version"]
            client.request(request_subject(PREFIX, "suspend", name))
        pages = [client.request(f"{PREFIX}.catalog.{what}.list").json()]
        while pages[-1]["next_cursor"] is not None:
            asked = {"cursor": pages[-1]["next_cursor"]}
            pages.append(client.request(f"{PREFIX}.catalog.{what}.list", asked).json())
    assert len(pages) > 1
    assert all(page[what] for page in pages)


def test_a_reply_that_cannot_fit_is_an_error_and_the_service_goes_on(small: Service) -> None:
    with RawClient(small.url) as client:
        # The request just fits; its entry in the log has more fields.
        body = {"provider": "exa", "error_message": "\U0001f600" * 3_900}
        assert client.request(TRACK, json.dumps(body, ensure_ascii=False).encode()).json()["seq"]
        reply = client.request(LOGS)
        assert reply.json()["error"]["code"] == "internal"
        assert client.request(request_subject(PREFIX, "stats", "alice")).json()["total_calls"] == 1


def test_pages_follow_the_connection_to_a_server_that_takes_less_and_back(tmp_path: Path) -> None:
    server = start_nats_server(tmp_path)
    env = {"METERD_NATS_URL": server.url}
    sizes: list[int] = []
    with Service(tmp_path / "data", command="serve", env=env) as service:
        with RawClient(server.url) as client:
            for number in range(100):
                track(client, f"k{number}", error_message="x" * 2_000)
        for limit in (1_048_576, 65_536, 1_048_576):
            server.kill()
            server = start_nats_server(tmp_path, f"max_payload: {limit}", port=server.port)
            with RawClient(server.url) as client:
                while (reply := client.request(LOGS, {"limit": 1_000})).status == "503":
                    pass  # the service is not back yet
            sizes.append(len(reply.json()["logs"]))
            assert len(reply.body) <= limit
        assert service.terminate() == 0
    server.kill()
    assert sizes[0] == sizes[2] == 100
    assert 15 < sizes[1] < 32


async def test_a_size_that_the_server_says_later_on_the_same_connection_is_followed() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(b'INFO {"max_payload":1048576,"headers":true}\r\n')
        while data := await reader.read(65_536):
            writer.write(b"PONG\r\n" * data.count(b"PING\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        connection = await Connection.connect(f"nats://127.0.0.1:{port}", {}, name="test")
        sizes: list[int] = []
        told = asyncio.Event()

        def tell() -> None:
            sizes.append(connection.client.max_payload)
            told.set()

        connection.on_size(tell)
        # Sizes only matter if there are some: others say nothing, or nonsense.
        writers[-1].write(b'INFO {}\r\nINFO {"max_payload":"x"}\r\nINFO {"max_payload":16384}\r\n')
        await asyncio.wait_for(told.wait(), 30)
        assert sizes == [16_384]
        await connection.close()


def test_a_size_that_is_lowered_by_a_reload_of_the_server_costs_an_answer_and_is_followed(
    tmp_path: Path,
) -> None:
    """The server says nothing of it: it ends the connection of who sends more."""
    server = start_nats_server(tmp_path)
    limit = 65_536
    with Service(
        tmp_path / "data", command="serve", env={"METERD_NATS_URL": server.url}
    ) as service:
        with RawClient(server.url) as client:
            for number in range(100):
                track(client, f"k{number}", error_message="x" * 2_000)
            config = tmp_path / "nats.conf"
            config.write_text(f"listen: 127.0.0.1:{server.port}\nmax_payload: {limit}\n")
            server.process.send_signal(signal.SIGHUP)
            answers: list[Message] = []
            while not answers or answers[0].status == "503":
                number = client.post(LOGS, {"limit": 1_000})
                # An answer may get lost with the connection: then the next one comes.
                with suppress(TimeoutError):
                    answers = [client.reply(number, wait_s=5)]
                if answers and len(answers[0].body) > limit:
                    answers = []  # the reload has not happened yet
        assert 15 < len(answers[0].json()["logs"]) < 32
        assert service.terminate() == 0
    server.kill()
