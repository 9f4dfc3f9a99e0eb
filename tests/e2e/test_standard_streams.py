"""stdin, stdout or stderr is closed from the start, or cannot be written to."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from messages.subjects import PREFIX, request_subject
from tests.support.logged import await_line
from tests.support.meterd import METERD
from tests.support.nats import NatsServer
from tests.support.raw import RawClient
from tests.support.service import END_S, ROOT, Service

TRACK = request_subject(PREFIX, "track", "alice")


def without(tmp_path: Path, closed: str, **settings: str) -> Service:
    """A service that a shell starts with some streams closed."""
    program = ["/bin/sh", "-c", f'exec {shlex.join(METERD)} "$@" {closed}', "sh"]
    verb = "serve" if settings else "up"
    return Service(tmp_path / "data", command=verb, program=program, env=settings)


@pytest.mark.parametrize("closed", ["2>&-", "<&-", "<&- 2>&-"])
def test_a_service_that_was_started_without_a_stream_opens_no_file_in_its_place(
    closed: str, tmp_path: Path
) -> None:
    with without(tmp_path, closed) as service, RawClient(service.url) as client:
        assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2
        for number in (0, 2):
            found = str(Path(f"/proc/{service.pid}/fd/{number}").readlink())
            assert found in {os.devnull, str(service.stderr_file)}
        assert service.terminate() == 0


def test_a_service_that_was_started_without_stdout_serves(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    service = without(tmp_path, ">&-", METERD_NATS_URL=nats_server.url)
    service.launch()
    try:
        await_line(service, "started")
        with RawClient(nats_server.url) as client:
            assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2
        assert service.terminate() == 0
        assert "Traceback" not in service.stderr
    finally:
        service.kill()


@pytest.mark.parametrize(
    ("command", "closed", "code"),
    [
        ("--version", ">&-", 0),
        ("up --help", "<&- >&- 2>&-", 0),
        ("up --help", ">/dev/full", 0),
        ("up --nonsense", "2>/dev/full", 2),
        ("serve", "2>/dev/full", 2),
        ("serve", "2>&-", 2),
    ],
)
def test_an_exit_code_is_the_same_if_what_was_said_can_be_written_nowhere(
    command: str, closed: str, code: int
) -> None:
    environ = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    found = subprocess.run(
        ["/bin/sh", "-c", f"exec {shlex.join(METERD)} {command} {closed}"],
        cwd=ROOT,
        env=environ | {"METERD_DRAIN_S": "soon"},
        capture_output=True,
        check=False,
        timeout=END_S,
    )
    assert (found.returncode, found.stderr) == (code, b"")
