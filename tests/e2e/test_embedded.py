from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import stat
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import nats
import pytest
from nats.aio.msg import Msg

from actors.edge import nats_server as embedded
from actors.edge.nats_server import EmbeddedError, EmbeddedServer, find_binary
from messages.subjects import PREFIX, encode_user, partition_of, request_subject
from tests.support.service import ROOT

WAIT_S = 60.0
# Only Linux can tie a process to its parent by itself.
TETHERS = ["guarded", "kernel"] if sys.platform == "linux" else ["guarded"]
SEED = 20_260_301

# What a service does that is killed: it starts the server and says its process id.
PARENT = """
import asyncio, sys
from pathlib import Path
from actors.edge.nats_server import EmbeddedServer

async def main():
    server = EmbeddedServer(Path(sys.argv[1]), port=0, guarded=sys.argv[2] == "guarded")
    print(await server.start(), flush=True)
    await server.wait()

asyncio.run(main())
"""

Make = Callable[..., EmbeddedServer]


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes servers in a directory of their own; those that were started are ended."""
    made: list[EmbeddedServer] = []

    def make(**options: object) -> EmbeddedServer:
        settings = {"port": 0} | options
        made.append(EmbeddedServer(tmp_path / str(len(made)), **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for server in made:
        await server.stop()


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def some_users(count: int, rng: random.Random) -> list[str]:
    letters = "abcXYZ019_-.@ =*>+/äß日🙂"
    users: set[str] = set()
    while len(users) < count:
        users.add("".join(rng.choices(letters, k=rng.randint(1, 24))))
    return sorted(users)


async def test_2000_users_messages_arrive_on_their_partition_in_order(
    servers: Make,
) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    users = some_users(2_000, rng)
    sent = [user for user in users for _ in range(5)]
    rng.shuffle(sent)
    arrived: dict[str, list[int]] = defaultdict(list)
    wrong: list[str] = []
    all_arrived = asyncio.Event()

    async def note(msg: Msg) -> None:
        partition, verb, token = msg.subject.removeprefix(f"{PREFIX}.p.").split(".")
        if verb != "track" or int(partition) != partition_of(token):
            wrong.append(msg.subject)
        arrived[token].append(int(msg.data))
        if int(msg.data) == len(sent) - 1:
            all_arrived.set()

    client = await nats.connect(await servers().start())
    await client.subscribe(f"{PREFIX}.p.*.*.*", cb=note)
    for number, user in enumerate(sent):
        await client.publish(request_subject(PREFIX, "track", user), b"%d" % number)
    async with asyncio.timeout(WAIT_S):
        await all_arrived.wait()
    await client.close()

    expected: dict[str, list[int]] = defaultdict(list)
    for number, user in enumerate(sent):
        expected[encode_user(user)].append(number)
    assert not wrong
    assert arrived == expected
    assert {partition_of(token) for token in arrived} == set(range(64))


@pytest.mark.parametrize("guarded", [False, True])
async def test_port_0_is_a_free_port_on_loopback(servers: Make, guarded: bool) -> None:
    first, second = servers(guarded=guarded), servers(guarded=guarded)
    urls = [await first.start(), await second.start()]
    assert len(set(urls)) == 2
    assert {urlsplit(url).hostname for url in urls} == {"127.0.0.1"}
    for url in urls:
        client = await nats.connect(url)
        assert client.max_payload == 1024 * 1024
        await client.close()


async def test_a_given_port_is_the_one_that_it_listens_on(
    servers: Make,
) -> None:
    first = servers()
    port = urlsplit(await first.start()).port
    await first.stop()
    assert await servers(port=port).start() == f"nats://127.0.0.1:{port}"


async def test_a_taken_port_is_named_in_one_line(servers: Make) -> None:
    port = urlsplit(await servers().start()).port
    with pytest.raises(EmbeddedError, match=rf"^port {port} of 127\.0\.0\.1 is taken; [^\n]*$"):
        await servers(port=port).start()


async def test_a_server_that_dies_at_start_is_quoted_in_one_line(
    servers: Make,
) -> None:
    with pytest.raises(EmbeddedError, match=r"^nats-server ended while it started: \S[^\n]+$"):
        await servers(prefix="not a.prefix").start()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    server = EmbeddedServer(tmp_path / "file" / "nats", port=0)
    with pytest.raises(EmbeddedError, match=r"^cannot start nats-server: .*file"):
        await server.start()


async def test_a_server_that_is_too_old_is_refused_with_both_versions(
    servers: Make, tmp_path: Path
) -> None:
    old = script(tmp_path / "old", "echo nats-server: v2.10.29")
    with pytest.raises(EmbeddedError, match=r"^.*old is nats-server 2\.10\.29, too old: 2\.14 "):
        await servers(binary=old).start()


@pytest.mark.parametrize("answer", ["echo hello", "exit 3", "echo nats-server: vX.Y >&2"])
async def test_another_program_is_refused(servers: Make, tmp_path: Path, answer: str) -> None:
    with pytest.raises(EmbeddedError, match="is no nats-server"):
        await servers(binary=script(tmp_path / "other", answer)).start()


def test_the_binary_is_looked_up_in_the_setting_then_path_then_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted = script(tmp_path / "wanted", "true")
    on_path = script(tmp_path / "nats-server", "true")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary(wanted) == wanted
    assert find_binary() == on_path
    monkeypatch.setenv("PATH", "")
    assert Path(find_binary()).parent == Path(sys.executable).parent
    monkeypatch.setattr(sys, "executable", str(tmp_path / "elsewhere" / "python"))
    assert Path(find_binary()).is_file()


def test_a_missing_binary_says_what_to_install_or_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded, "_packaged_binary", lambda: None)
    with pytest.raises(EmbeddedError, match=r"meterd\[embedded\].*METERD_NATS_SERVER"):
        find_binary()
    with pytest.raises(EmbeddedError, match="METERD_NATS_SERVER='/not/there'"):
        find_binary("/not/there")


@pytest.mark.parametrize("guarded", [False, True])
async def test_the_end_of_the_server_is_noticed(servers: Make, guarded: bool) -> None:
    server = servers(guarded=guarded)
    await server.start()
    os.kill(server.pid, signal.SIGKILL)
    async with asyncio.timeout(WAIT_S):
        assert await server.wait() == -signal.SIGKILL


@pytest.mark.parametrize("guarded", [False, True])
async def test_an_interrupt_from_the_keyboard_does_not_reach_the_server(
    servers: Make, guarded: bool
) -> None:
    server = servers(guarded=guarded)
    await server.start()
    assert os.getpgid(server.pid) != os.getpgid(0)


@pytest.mark.parametrize("guarded", [False, True])
async def test_a_stopped_server_is_gone(servers: Make, guarded: bool) -> None:
    server = servers(guarded=guarded)
    await server.start()
    group = os.getpgid(server.pid)
    await server.stop()
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
    assert await server.wait() == 0


@pytest.mark.parametrize("tether", TETHERS)
def test_a_server_whose_parent_is_killed_is_gone(tmp_path: Path, tether: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), tether],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        url = urlsplit(parent.stdout.readline().strip())
        with socket.create_connection((url.hostname, url.port), timeout=WAIT_S) as server:
            assert server.recv(65_536).startswith(b"INFO ")
            parent.kill()
            assert server.recv(65_536) == b""


async def test_the_largest_batches_of_200_callers_may_wait_for_the_service(servers: Make) -> None:
    """More than 80 MB: the default of the server ends the connection at 64 MiB."""
    server, batch, count = servers(jetstream=False), b"x" * 429_000, 200
    address = urlsplit(await server.start())
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(b'CONNECT {"verbose":false}\r\nSUB usage.v1.> 1\r\nPING\r\n')
    while await reader.readline() != b"PONG\r\n":
        pass
    sender = await nats.connect(address.geturl())
    for _ in range(count):
        await sender.publish("usage.v1.batch.alice", batch)
        await sender.flush()  # nobody has read any of them
    await sender.close()
    for _ in range(count):
        line = (await reader.readline()).split()
        assert line[0] == b"MSG", line
        await reader.readexactly(int(line[-1]) + 2)
    writer.close()
