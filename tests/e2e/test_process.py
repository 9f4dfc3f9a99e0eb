"""Starts that must fail, the ready line, and who ends with whom."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog.testing

from actors.edge import connecting as link
from actors.edge.connection import Connection, ConnectionFailed
from actors.edge.live_client import LiveClient
from messages.subjects import PREFIX, request_subject
from tests.support.nats import NatsServer, start_nats_server
from tests.support.raw import ConnectionEndedError, RawClient
from tests.support.service import Service, ServiceEndedError

WAIT_S = 60.0
STATS = request_subject(PREFIX, "stats", "alice")
TRACK = request_subject(PREFIX, "track", "alice")

Make = Callable[..., Service]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes services, not started, each by default with a data directory of its own."""
    with ExitStack() as stack:
        count = 0

        def new(command: str = "up", data: str = "", **env: str) -> Service:
            nonlocal count
            count += 1
            settings = {f"METERD_{name.upper()}": value for name, value in env.items()}
            service = Service(tmp_path / (data or f"data{count}"), command=command, env=settings)
            # Two services of a test may share a directory, but never a log.
            service.stderr_file = tmp_path / f"{count}.stderr"
            stack.callback(service.kill)
            return service

        yield new


def refused(service: Service, *words: str, code: int = 1) -> None:
    """The start fails with one line on stderr that has these words, and nothing on stdout."""
    with pytest.raises(ServiceEndedError) as caught:
        service.start()
    assert caught.value.code == code
    lines = caught.value.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("meterd: ")
    for word in words:
        assert word in lines[0]
    assert service.lines == []


def server_pid(service: Service) -> int:
    """The process id of the nats-server of `meterd up`."""
    (ports,) = (service.data_dir / "nats").glob("nats-server_*.ports")
    return int(ports.stem.removeprefix("nats-server_"))


def ask_until_answered(client: RawClient, subject: str, wait_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + wait_s
    while client.request(subject).status == "503":
        assert time.monotonic() < deadline


# -- starts that must fail


def test_a_second_meterd_on_a_prefix_refuses_and_the_first_goes_on(
    make: Make, nats_server: NatsServer
) -> None:
    first = make("serve", nats_url=nats_server.url).start()
    with RawClient(nats_server.url) as client:
        assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2
        refused(make("serve", nats_url=nats_server.url), "another meterd", PREFIX)
        assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 3
    assert first.terminate() == 0
    make("serve", nats_url=nats_server.url).start()  # the prefix is free again


def test_of_several_that_start_at_once_one_serves(make: Make, nats_server: NatsServer) -> None:
    services = [make("serve", nats_url=nats_server.url) for _ in range(4)]
    for service in services:
        service.launch()
    ended: list[ServiceEndedError] = []
    ready: list[Service] = []
    for service in services:
        try:
            service.wait_ready()
            ready.append(service)
        except ServiceEndedError as error:
            ended.append(error)
    assert [len(ready), [error.code for error in ended]] == [1, [1, 1, 1]]
    assert all("another meterd" in error.stderr for error in ended)
    assert ready[0].process.poll() is None


def test_two_prefixes_live_side_by_side_on_one_server(make: Make, nats_server: NatsServer) -> None:
    make("serve", nats_url=nats_server.url).start()
    make("serve", nats_url=nats_server.url, prefix="other.v2").start()
    with RawClient(nats_server.url) as client:
        for subject in (TRACK, "other.v2.track.alice"):
            assert client.request(subject, {"provider": "exa"}).json()["seq"] == 2


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_second_meterd_on_a_data_directory_refuses(
    make: Make, nats_server: NatsServer, command: str
) -> None:
    env = {"nats_url": nats_server.url} if command == "serve" else {}
    first = make(command, "shared", **env).start()
    refused(make(command, "shared", **env, prefix="other.v2"), "shared")
    with RawClient(first.url) as client:
        assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2


def test_a_second_meterd_is_refused_though_the_lock_file_was_removed(
    make: Make, nats_server: NatsServer
) -> None:
    url = nats_server.url
    first = make("serve", "shared", nats_url=url).start()
    (first.data_dir / "meterd.lock").unlink()
    refused(make("serve", "shared", nats_url=url, prefix="other.v2"), "shared", "is held")
    with RawClient(url) as client:
        assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2


def test_a_port_that_is_taken_is_named(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(make(nats_port=str(port)), str(port), "METERD_NATS_PORT")


def test_a_missing_binary_is_named(make: Make, tmp_path: Path) -> None:
    refused(make(nats_server=str(tmp_path / "nothing")), "METERD_NATS_SERVER", "nothing")


def test_a_data_directory_that_cannot_be_is_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    refused(make(data="file"), "file")


def test_a_start_beside_a_restore_that_was_interrupted_is_refused(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "meterd.db.part").write_bytes(b"half of a copy")
    refused(make(data="half"), "a restore into", "was interrupted", "meterd.db.part")


def test_a_database_of_another_program_is_refused_untouched(make: Make, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    database = tmp_path / "foreign" / "meterd.db"
    database.write_bytes(b"not a database at all" * 100)
    before = database.read_bytes()
    refused(make(data="foreign"), "meterd.db")
    assert database.read_bytes() == before


async def test_a_nats_server_that_is_not_there_is_named_once_and_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "CONNECT_S", 2.0)  # all of which is waited; it is refused at once
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"nats://me:secret@127.0.0.1:{port},nats://me:secret@localhost:{port}"
    options = {"max_reconnect_attempts": -1, "reconnect_time_wait": 0.01}
    with structlog.testing.capture_logs() as lines, pytest.raises(ConnectionFailed) as caught:
        await Connection.connect(url, options, name="test")
    assert lines == []
    assert f"127.0.0.1:{port},nats://localhost:{port}" in str(caught.value)
    assert "Errno" in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_start_ends_also_if_a_try_to_connect_swallows_its_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "CONNECT_S", 0.05)
    monkeypatch.setattr(link, "CANCEL_S", 0.01)
    swallowed = 0

    async def try_for_ever(*_: object, **__: object) -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:  # as wait_for of Python 3.11, when a try fails then
                swallowed += 1
                if swallowed == 3:
                    raise

    monkeypatch.setattr(LiveClient, "connect", try_for_ever)
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(ConnectionFailed, match="cannot connect"):
            await Connection.connect("nats://127.0.0.1:1", {}, name="test")
    assert swallowed == 3


def test_a_secret_in_a_url_is_in_no_line(make: Make, nats_server: NatsServer) -> None:
    url = f"nats://me:secret@127.0.0.1:{nats_server.port}"
    service = make("serve", nats_url=url).start()
    assert service.terminate() == 0
    assert "secret" not in service.stderr + "".join(service.lines)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("idle_s", "0"),
        ("nats_port", "x"),
        ("prefix", "a..b"),
        ("waiting_max", "1"),
        ("log_level", "loud"),
        ("nats_password", "x"),
    ],
)
def test_a_wrong_setting_is_named(make: Make, name: str, value: str) -> None:
    refused(make(**{name: value}), f"METERD_{name.upper()}", code=2)


def test_what_is_no_address_is_a_wrong_setting(make: Make) -> None:
    refused(make("serve", nats_url="http://h:1"), "http://h:1", "not the address", code=2)


# -- ready


def test_the_ready_line_is_one_line_of_json(up: Service) -> None:
    (line,) = up.lines
    ready = json.loads(line)
    assert line == json.dumps(ready) + "\n"
    assert ready["event"] == "ready"
    assert ready["nats_url"].startswith("nats://127.0.0.1:")
    assert ready["version"].count(".") == 2
    assert ready["pid"] == up.pid
    with RawClient(ready["nats_url"]) as client:
        assert client.request("$SRV.PING.meterd").json()["version"] == ready["version"]
        assert client.request(STATS).json()["seq"] == 0


def test_from_the_first_ping_that_is_answered_requests_are_served(
    make: Make, nats_server: NatsServer
) -> None:
    service = make("serve", nats_url=nats_server.url)
    with RawClient(nats_server.url) as client:
        assert client.request("$SRV.PING.meterd").status == "503"
        service.launch()
        ask_until_answered(client, "$SRV.PING.meterd")
        assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2
        service.wait_ready()


# -- who ends with whom


def test_killing_meterd_takes_its_nats_server_along(up: Service) -> None:
    with RawClient(up.url) as client:
        client.request(STATS)
        pid = server_pid(up)
        os.kill(up.pid, signal.SIGKILL)
        client.wait_end(WAIT_S)
        address = ("127.0.0.1", int(up.url.rsplit(":", 1)[1]))
    deadline = time.monotonic() + WAIT_S
    while listens(address) or runs(pid):
        assert time.monotonic() < deadline
    up.wait()


def listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, WAIT_S).close()
    except ConnectionError:
        return False
    return True


def runs(pid: int) -> bool:
    """Whether a process runs: one that ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_meterd_ends_with_code_1_if_its_nats_server_ends(up: Service) -> None:
    with RawClient(up.url) as client:
        assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2
    os.kill(server_pid(up), signal.SIGKILL)
    assert up.wait() == 1
    assert up.stderr.splitlines()[-1] == "meterd: the nats-server of this process ended"
    assert "Traceback" not in up.stderr
    up.start()
    with RawClient(up.url) as client:
        assert client.request(STATS).json()["total_calls"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_meterd_ends_its_server_and_itself_with_code_0(
    up: Service, number: signal.Signals
) -> None:
    pid = server_pid(up)
    up.process.send_signal(number)
    assert up.wait() == 0
    assert not runs(pid)


def test_told_to_stop_while_it_starts_meterd_leaves_nothing_behind(make: Make) -> None:
    service = make()
    service.launch()
    nats = service.data_dir / "nats"
    deadline = time.monotonic() + WAIT_S
    while not list(nats.glob("nats-server_*.ports")):
        assert time.monotonic() < deadline
        assert service.process.poll() is None
    pid = server_pid(service)
    service.process.send_signal(signal.SIGTERM)
    assert service.wait() in {0, -signal.SIGTERM}
    assert not runs(pid)


@pytest.mark.parametrize("gently", [True, False])
def test_serve_goes_on_after_its_nats_server_was_restarted(
    serve: Service, nats_server: NatsServer, tmp_path: Path, gently: bool
) -> None:
    with RawClient(nats_server.url) as client:
        first = client.request(TRACK, {"provider": "exa", "event_id": "k"}).json()
    (nats_server.stop if gently else nats_server.kill)()
    again = start_nats_server(
        tmp_path, (tmp_path / "nats.conf").read_text().split("\n", 1)[1], nats_server.port
    )
    try:
        with RawClient(again.url) as client:
            ask_until_answered(client, "$SRV.PING.meterd")
            ask_until_answered(client, STATS)
            repeated = client.request(TRACK, {"provider": "exa", "event_id": "k"}).json()
            assert repeated == first | {"duplicate": True}
            assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 3
        assert serve.terminate() == 0
    finally:
        again.kill()


def test_a_connection_lost_under_load_loses_no_acknowledged_event(
    serve: Service, nats_server: NatsServer, tmp_path: Path
) -> None:
    acknowledged = set()
    with RawClient(nats_server.url) as client:
        numbers = [
            client.post(TRACK, {"provider": "exa", "event_id": f"k{n}"}) for n in range(5_000)
        ]
        client.reply(numbers[500])
        killer = threading.Thread(target=nats_server.kill)
        killer.start()
        try:
            client.collect(5_001)
        except (ConnectionEndedError, OSError):
            acknowledged = {reply.json()["event_id"] for (reply,) in client.replies.values()}
        killer.join()
    assert len(acknowledged) > 500
    config = (tmp_path / "nats.conf").read_text().split("\n", 1)[1]
    again = start_nats_server(tmp_path, config, nats_server.port)
    try:
        with RawClient(again.url) as client:
            ask_until_answered(client, STATS)
            duplicates = 0
            numbers = [
                client.post(TRACK, {"provider": "exa", "event_id": f"k{n}"}) for n in range(5_000)
            ]
            for n, number in enumerate(numbers):
                reply = client.reply(number).json()
                duplicates += reply["duplicate"]
                assert reply["duplicate"] or f"k{n}" not in acknowledged
            assert duplicates >= len(acknowledged)
            assert client.request(STATS).json()["total_calls"] == 5_000
    finally:
        again.kill()
