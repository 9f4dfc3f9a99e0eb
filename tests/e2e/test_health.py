"""`meterd status` and `meterd doctor`, on real servers, well and ill."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from actors.cli import examining
from actors.cli.looking import answers, looking, settle
from actors.settings.config import Config
from messages.codec import encode_reply
from messages.errors import ErrorReply, RequestError
from messages.subjects import PREFIX
from tests.support.commands import run
from tests.support.nats import NatsServer, start_nats_server
from tests.support.service import Service

Start = Callable[..., NatsServer]


def findings(code_and_reply: tuple[int, Any]) -> tuple[int, dict[str, dict[str, str]]]:
    code, reply = code_and_reply
    return code, {finding["about"]: finding for finding in reply["findings"]}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server with these lines of configuration."""
    started: list[NatsServer] = []

    def one(text: str = "") -> NatsServer:
        started.append(start_nats_server(tmp_path, text))
        return started[-1]

    yield one
    for server in started:
        server.kill()


@pytest.fixture
async def client(up: Service) -> AsyncIterator[Client]:
    connection = await nats.connect(up.url)
    yield connection
    await connection.close()


def test_a_service_that_is_well_has_a_status_and_nothing_to_mend(up: Service) -> None:
    assert run("track", "alice", "--provider", "exa", url=up.url)[0] == 0
    code, status = run("status", url=up.url)
    (service,) = status["services"]
    assert (code, status["prefix"], service["accepting"]) == (0, PREFIX, True)
    assert service["position"] > 0
    assert (service["live_users"], service["waiting"]) == (1, 0)
    code, found = findings(run("doctor", "--data-dir", str(up.data_dir), url=up.url))
    assert (code, {each["level"] for each in found.values()}) == (0, {"ok"}), found
    assert set(found) == {
        *("server", "service", "mapping", "permissions", "streams", "clock"),
        *("disk", "files", "WAL"),
    }
    assert "maps users" in found["mapping"]["what"]
    assert run("stats", "alice", url=up.url)[1]["total_calls"] == 1  # the look changed nothing


async def test_a_stream_that_captures_requests_is_named_with_what_to_do(
    up: Service, client: Client
) -> None:
    config = StreamConfig(name="EVERYTHING", subjects=[f"{PREFIX}.track.*"])
    await client.jetstream().add_stream(config)
    code, found = findings(run("doctor", url=up.url))
    assert (code, found["streams"]["level"]) == (1, "problem")
    assert "EVERYTHING" in found["streams"]["what"]
    assert found["streams"]["do"]


def test_status_and_doctor_say_so_if_nobody_serves(start: Start, tmp_path: Path) -> None:
    server = start()
    code, status = run("status", url=server.url)
    assert (code, status["services"]) == (1, [])
    code, found = findings(run("doctor", "--data-dir", str(tmp_path / "none"), url=server.url))
    assert (code, found["service"]["level"]) == (1, "problem")
    assert "no mapping" in found["mapping"]["what"]
    server.kill()
    code, found = findings(run("doctor", "--data-dir", str(tmp_path / "none"), url=server.url))
    assert (code, found["server"]["level"]) == (1, "problem")
    assert run("status", url=server.url)[0] == 1


def test_missing_permissions_and_a_small_payload_are_named(start: Start, tmp_path: Path) -> None:
    allowed = f'["{PREFIX}.stats.*", "$SRV.>"]'
    user = f'{{user: a, password: b, permissions: {{publish: {allowed}, subscribe: "_INBOX.>"}}}}'
    server = start(f"max_payload: 65536\nauthorization {{users: [{user}]}}")
    url = server.url.replace("nats://", "nats://a:b@")
    code, found = findings(run("doctor", "--data-dir", str(tmp_path / "none"), url=url))
    assert (code, found["server"]["level"]) == (1, "warning")
    refused = found["permissions"]["what"].removeprefix("not allowed: ").split(", ")
    assert "track" in refused
    assert "stats" not in refused
    assert "a:b" not in json.dumps(found)


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (4_000, r" (3\d{3}|4000)\.\d s ahead"),
        (-4_000, r" (3\d{3}|4000)\.\d s behind"),
        (0, "apart"),
    ],
)
async def test_a_clock_that_differs_is_found_by_what_an_error_says_of_it(
    start: Start, seconds: int, says: str
) -> None:
    server = start()
    there = await nats.connect(server.url)
    asked: list[bytes] = []

    async def answer(message: Msg) -> None:
        """As a service whose clock differs."""
        asked.append(message.data)
        now = datetime.now(UTC) + timedelta(seconds=seconds)
        error = RequestError("invalid_request", "no object").body(None, now)
        await there.publish(message.reply, encode_reply(ErrorReply(error)))

    await there.subscribe(f"{PREFIX}.catalog.providers.list", cb=answer)
    await settle(there)
    async with looking(Config(nats_url=server.url)) as (client, complaints):
        (found,) = await examining.clock(client, PREFIX, complaints)
    assert found.level == ("problem" if seconds else "ok")
    assert re.search(says, found.what), found.what
    assert len(asked) == 1
    await there.close()


@pytest.mark.parametrize("answered", [b"", b"{}", b"nonsense", b'{"error": {"code": "x"}}'])
async def test_an_answer_without_a_clock_is_no_finding_about_clocks(
    start: Start, answered: bytes
) -> None:
    server = start()
    there = await nats.connect(server.url)

    async def answer(message: Msg) -> None:
        await there.publish(message.reply, answered)

    await there.subscribe(f"{PREFIX}.catalog.providers.list", cb=answer)
    await there.flush()
    async with looking(Config(nats_url=server.url)) as (client, complaints):
        (found,) = await examining.clock(client, PREFIX, complaints)
    assert (found.about, found.level) == ("clock", "ok")
    await there.close()


async def test_all_answers_are_heard_and_those_that_are_no_json_objects_passed_over(
    start: Start,
) -> None:
    server = start()
    there = await nats.connect(server.url)
    for text in (b'{"id": 1}', b"nonsense", b'{"id": 2}', b"[3]"):

        async def answer(message: Msg, text: bytes = text) -> None:
            await there.publish(message.reply, text)

        await there.subscribe("who", cb=answer)
    await settle(there)
    async with looking(Config(nats_url=server.url)) as (client, _):
        assert sorted(each["id"] for each in await answers(client, "who")) == [1, 2]
        assert await answers(client, "nobody") == []
    await there.close()


def test_a_directory_with_a_broken_restore_and_a_foreign_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "meterd.db.part").touch()
    (tmp_path / "meterd.db").write_text("not a database")
    (tmp_path / "meterd.db").chmod(0o644)
    with (tmp_path / "meterd.db-wal").open("wb") as wal:
        wal.truncate(examining.WAL_MAX + 1)
    found = examining.examine_directory(tmp_path)
    ill = [finding for finding in found if finding.level != "ok"]
    assert [finding.about for finding in ill] == ["files", "files", "files", "WAL"]
    assert all(finding.do for finding in ill)


@pytest.mark.parametrize(
    ("pattern", "subject", "covered"),
    [
        (">", "a.b", True),
        ("a.>", "a", False),
        ("a.*.c", "a.b.c", True),
        ("a.*", "a.b.c", False),
        ("a.b", "a.b", True),
        ("a.b.c", "a.b", False),
    ],
)
def test_a_pattern_covers_what_nats_says_that_it_covers(
    pattern: str, subject: str, covered: bool
) -> None:
    assert examining.covers(pattern, subject) is covered
