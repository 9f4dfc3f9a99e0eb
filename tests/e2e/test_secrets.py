"""Whatever fails, no password, token, seed or credential is in a line, an error or a reply."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from messages.client.client import UsageClient
from messages.errors import NoService
from tests.support.logged import await_line as await_event
from tests.support.logged import waiting
from tests.support.meterd import METERD
from tests.support.nats import NatsServer, start_nats_server
from tests.support.service import ROOT, Service
from tests.support.wire import Key

SECRET = "HiddenAway"
Settings = dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A nats-server that lets one user in, with another password."""
    directory = tmp_path_factory.mktemp("nats")
    server = start_nats_server(directory, "authorization { user: me, password: another }")
    yield server
    server.kill()


def run(command: str, settings: Settings, data: Path) -> tuple[int, str]:
    """A command of meterd that has to fail: its exit code and all that it said."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
    environ |= {"METERD_LOG_LEVEL": "debug", "METERD_DATA_DIR": str(data)}
    done = subprocess.run(
        [*METERD, *command.split()],
        cwd=ROOT,
        env=environ | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def await_line(service: Service, text: str) -> None:
    """Wait until the log of the service has this."""
    deadline = time.monotonic() + 60
    while text not in service.stderr:
        assert time.monotonic() < deadline, service.stderr
        select.select([], [], [], 0.02)


def wrong_password(server: NatsServer, _: Path) -> Settings:
    return {"METERD_NATS_URL": f"nats://me:{SECRET}@127.0.0.1:{server.port}"}


def wrong_password_apart(server: NatsServer, _: Path) -> Settings:
    settings = {"METERD_NATS_USER": "me", "METERD_NATS_PASSWORD": SECRET}
    return {"METERD_NATS_URL": server.url, **settings}


def wrong_token(server: NatsServer, _: Path) -> Settings:
    return {"METERD_NATS_URL": f"nats://{SECRET}@127.0.0.1:{server.port}"}


def nobody_there(_: NatsServer, __: Path) -> Settings:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return {"METERD_NATS_URL": f"nats://me:{SECRET}@127.0.0.1:{port}"}


def no_such_host(_: NatsServer, __: Path) -> Settings:
    return {"METERD_NATS_URL": f"nats://me:{SECRET}@nowhere.invalid:4222"}


def password_with_a_slash(server: NatsServer, _: Path) -> Settings:
    return {"METERD_NATS_URL": f"nats://me:{SECRET}/{SECRET}@127.0.0.1:{server.port}"}


def password_with_a_comma(server: NatsServer, _: Path) -> Settings:
    return {"METERD_NATS_URL": f"nats://me:{SECRET},{SECRET}@127.0.0.1:{server.port}"}


def password_without_an_address(_: NatsServer, __: Path) -> Settings:
    return {"METERD_NATS_URL": f"nats://me:{SECRET}"}


def seed_instead_of_its_file(server: NatsServer, _: Path) -> Settings:
    return {"METERD_NATS_URL": server.url, "METERD_NATS_NKEY_SEED_FILE": SECRET}


def file_without_a_seed(server: NatsServer, directory: Path) -> Settings:
    (directory / "bad.nk").write_text(f"SU{SECRET}\n")
    path = str(directory / "bad.nk")
    return {"METERD_NATS_URL": server.url, "METERD_NATS_NKEY_SEED_FILE": path}


def creds_without_a_seed(server: NatsServer, directory: Path) -> Settings:
    path = directory / "bad.creds"
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{SECRET}\n------END NATS USER JWT------\n"
        f"-----BEGIN USER NKEY SEED-----\nSU{SECRET}\n------END USER NKEY SEED------\n"
    )
    return {"METERD_NATS_URL": server.url, "METERD_NATS_CREDS": str(path)}


def creds_instead_of_their_file(server: NatsServer, _: Path) -> Settings:
    return {"METERD_NATS_URL": server.url, "METERD_NATS_CREDS": f"-----BEGIN-----{SECRET}"}


def personal_secret_instead_of_its_file(server: NatsServer, _: Path) -> Settings:
    return {"METERD_PERSONAL_METADATA": "hash", "METERD_PERSONAL_SECRET_FILE": SECRET}


FAILURES: list[Callable[[NatsServer, Path], Settings]] = [
    *(wrong_password, wrong_password_apart, wrong_token, nobody_there, no_such_host),
    *(password_with_a_slash, password_with_a_comma, password_without_an_address),
    *(seed_instead_of_its_file, file_without_a_seed),
    *(creds_without_a_seed, creds_instead_of_their_file),
]
MAY_PASS = 5
"""How many of these a person may put right at the server, so that a service waits."""


def fails_in_one_line(code: int, said: str) -> None:
    assert code in (1, 2)
    assert SECRET not in said
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("meterd: ")]
    assert len(lines) == 1, said
    assert len(lines[0]) > 30


@pytest.mark.parametrize("failing", FAILURES[:MAY_PASS])
def test_a_service_that_waits_for_its_server_says_why_and_no_secret(
    server: NatsServer, tmp_path: Path, failing: Callable[[NatsServer, Path], Settings]
) -> None:
    settings = failing(server, tmp_path)
    with waiting(tmp_path, settings) as service:
        assert len(await_event(service, "nats_not_connected")["reason"]) > 10
    assert SECRET not in service.stderr


@pytest.mark.parametrize("failing", [*FAILURES[MAY_PASS:], personal_secret_instead_of_its_file])
def test_a_service_that_cannot_start_says_why_and_no_secret(
    server: NatsServer, tmp_path: Path, failing: Callable[[NatsServer, Path], Settings]
) -> None:
    fails_in_one_line(*run("serve", failing(server, tmp_path), tmp_path / "data"))


@pytest.mark.parametrize("failing", FAILURES)
def test_a_command_that_cannot_connect_says_why_and_no_secret(
    server: NatsServer, tmp_path: Path, failing: Callable[[NatsServer, Path], Settings]
) -> None:
    fails_in_one_line(*run("stats alice", failing(server, tmp_path), tmp_path / "data"))


@pytest.mark.parametrize("failing", FAILURES[:8])
async def test_a_python_caller_that_cannot_connect_is_told_why_and_no_secret(
    server: NatsServer, tmp_path: Path, failing: Callable[[NatsServer, Path], Settings]
) -> None:
    settings = failing(server, tmp_path)
    options: dict[str, Any] = {}
    if "METERD_NATS_USER" in settings:
        options = {"user": "me", "password": SECRET}
    with pytest.raises(NoService) as caught:
        await UsageClient.connect(settings["METERD_NATS_URL"], budget_s=0.5, **options)
    assert "cannot connect" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_service_that_is_locked_out_while_it_runs_tells_no_secret(tmp_path: Path) -> None:
    lock = "authorization { user: me, password: %s }"
    server = start_nats_server(tmp_path, lock % SECRET)
    url = f"nats://me:{SECRET}@127.0.0.1:{server.port}"
    env = {"METERD_NATS_URL": url, "METERD_LOG_LEVEL": "debug"}
    with Service(tmp_path / "data", command="serve", env=env) as service:
        server.kill()
        server = start_nats_server(tmp_path, lock % "changed", port=server.port)
        await_line(service, "uthorization")
        server.kill()
        server = start_nats_server(tmp_path, lock % SECRET, port=server.port)
        await_line(service, "nats_reconnected")
        code, said = run("stats alice", {"METERD_NATS_URL": url}, tmp_path / "data")
        assert code == 0
        assert SECRET not in said
        assert service.terminate() == 0
        assert SECRET not in service.stderr + "".join(service.lines)
    server.kill()


def test_a_seed_that_works_is_in_no_line(tmp_path: Path) -> None:
    key = Key()
    server = start_nats_server(tmp_path, f"authorization {{ users: [ {{ nkey: {key.public} }} ] }}")
    seed = tmp_path / "service.nk"
    seed.write_bytes(key.seed)
    env = {"METERD_NATS_URL": server.url, "METERD_NATS_NKEY_SEED_FILE": str(seed)}
    data = tmp_path / "data"
    with Service(data, command="serve", env={**env, "METERD_LOG_LEVEL": "debug"}) as service:
        code, said = run("stats alice", env, data)
        assert code == 0
        assert service.terminate() == 0
        said += service.stderr + "".join(service.lines)
    assert key.seed.decode() not in said
    assert not any(key.seed in path.read_bytes() for path in data.rglob("*") if path.is_file())
    server.kill()
