"""A word to stop at any moment of a start: the process ends, in silence.

The signal is sent by the process itself, at one of the events that Python's audit hooks tell of:
an import, a file, a socket, a database. So each point is hit in each run, however slow it is.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.meterd import METERD
from tests.support.nats import NatsServer
from tests.support.service import END_S, ROOT, Service, ServiceEndedError

HOOK = """
import os, signal, sys

at, number = int(os.environ.pop("STRIKE_AT")), int(os.environ.pop("STRIKE_WITH"))
names = os.open(os.environ.pop("STRIKE_NAMES"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
seen = -1

def strike(event, args):
    global seen
    # What is before this is Python's own start, and the few lines that set the handlers.
    if seen < 0 and not (event == "import" and args[0] == "actors.cli"):
        return
    seen += 1
    os.write(names, event.encode() + b"\\n")
    if seen == at:
        os.kill(os.getpid(), number)

sys.addaudithook(strike)
"""
NEVER = -1
OPENED = "fcntl.flock"
"""The event with which the service begins to open what it needs."""


class Striking:
    """Starts commands that strike themselves with a signal."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._names = directory / "names"
        (directory / "sitecustomize.py").write_text(HOOK)
        self._count = 0

    def env(self, at: int, number: int = signal.SIGINT) -> dict[str, str]:
        return {
            "PYTHONPATH": str(self._directory),
            "STRIKE_AT": str(at),
            "STRIKE_WITH": str(int(number)),
            "STRIKE_NAMES": str(self._names),
        }

    def service(self, verb: str, at: int, url: str, number: int = signal.SIGINT) -> Service:
        self._count += 1
        env = self.env(at, number) | {"METERD_NATS_URL": url, "METERD_LOG_LEVEL": "warning"}
        return Service(self._directory / f"data{self._count}", command=verb, env=env)

    def names(self) -> list[str]:
        """The events of the newest command."""
        return self._names.read_text().splitlines()

    def points(self, count: int) -> Iterator[int]:
        """Points of the newest command: half of them while it imports, half while it opens."""
        names = self.names()
        middle = names.index(OPENED)
        for n in range(count // 2):
            yield middle * n // (count // 2)
        for n in range(count // 2):
            yield middle + (len(names) - middle) * n // (count // 2)


@pytest.fixture
def striking(tmp_path: Path) -> Striking:
    return Striking(tmp_path)


def ended(service: Service, number: int) -> tuple[bool, int]:
    """Whether it was ready, and its exit code; told once more if it was, should it be too late."""
    try:
        service.start()
    except ServiceEndedError as error:
        return False, error.code
    service.process.send_signal(number)
    return True, service.wait()


@pytest.mark.parametrize(
    ("verb", "number", "code", "count"),
    [
        ("up", signal.SIGINT, 130, 14),
        ("serve", signal.SIGINT, 130, 6),
        ("up", signal.SIGTERM, 0, 4),
        ("serve", signal.SIGHUP, 0, 2),
    ],
)
def test_a_service_that_is_told_to_stop_while_it_starts_ends_at_once_and_says_nothing(
    verb: str,
    number: int,
    code: int,
    count: int,
    striking: Striking,
    nats_server: NatsServer,
) -> None:
    whole = striking.service(verb, NEVER, nats_server.url, number)
    assert ended(whole, number) == (True, 0)
    before = 0
    for point in list(striking.points(count)):
        service = striking.service(verb, point, nats_server.url, number)
        try:
            was_ready, found = ended(service, number)
        finally:
            service.kill()
        assert found == (0 if was_ready else code), (point, service.stderr)
        assert service.stderr == "", point
        assert bool(service.lines) == was_ready, point
        before += not was_ready
    assert before >= count // 2


def test_a_command_that_is_interrupted_ends_at_once_and_says_nothing(
    striking: Striking, service: Service
) -> None:
    def run(at: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*METERD, "stats", "alice"],
            cwd=ROOT,
            env=os.environ | striking.env(at) | {"METERD_NATS_URL": service.url},
            capture_output=True,
            text=True,
            check=False,
            timeout=END_S,
        )

    assert run(NEVER).returncode == 0
    total = len(striking.names())
    for n in range(8):
        found = run(total * n // 8)
        assert (found.returncode, found.stderr) == (130, ""), (n, found.stdout)


def test_ctrl_c_while_the_version_of_the_nats_server_is_asked_is_no_fault_of_that_server(
    tmp_path: Path,
) -> None:
    """Ctrl-C goes to the whole group in the foreground."""
    asked = tmp_path / "asked"
    os.mkfifo(asked)
    program = tmp_path / "slow"
    program.write_text(f"#!/bin/sh\necho asked >{asked}\nexec sleep 600\n")
    program.chmod(0o700)
    pipe = os.open(asked, os.O_RDWR)
    service = Service(tmp_path / "data", env={"METERD_NATS_SERVER": str(program)})
    try:
        service.launch()
        assert select.select([pipe], [], [], END_S)[0]
        os.killpg(service.pid, signal.SIGINT)
        assert service.wait() == 130
    finally:
        os.close(pipe)
        service.kill()
    assert service.stderr == ""


def test_an_interrupt_of_a_service_that_is_ready_is_a_drain(striking: Striking) -> None:
    service = striking.service("up", NEVER, "")
    assert ended(service, signal.SIGINT) == (True, 0)
    (line,) = service.lines
    assert json.loads(line)["event"] == "ready"
