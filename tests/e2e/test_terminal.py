"""The terminal is closed under the service: it stops in order, in each way that it is run."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from messages.subjects import PREFIX, request_subject
from tests.support.meterd import METERD
from tests.support.nats import NatsServer
from tests.support.raw import RawClient
from tests.support.service import END_S, READY_S, ROOT, Service

STATS = request_subject(PREFIX, "stats", "alice")
TRACK = request_subject(PREFIX, "track", "alice")


class Terminal:
    """A pseudo terminal with a session in it, which ends with the terminal, as a shell's does.

    Args:
        command: the first process of the session; others are in its foreground group.
        env: settings.
    """

    def __init__(self, command: Sequence[str], env: dict[str, str]) -> None:
        self._master, slave = os.openpty()
        environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}

        def take_terminal() -> None:
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for number in (signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)

        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ | env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_terminal,  # noqa: PLW1509 -- nothing else makes a terminal its own
        )
        os.close(slave)
        self._text = ""

    def ready(self) -> dict[str, object]:
        """The ready line, once it is shown."""
        stuck = threading.Timer(READY_S, self.process.kill)  # which ends the read
        stuck.start()
        try:
            while True:
                for line in self._text.splitlines(keepends=True):
                    begin = line.find('{"event": "ready"')
                    if begin >= 0 and line.endswith("\n"):
                        found: dict[str, object] = json.loads(line[begin : line.rindex("}") + 1])
                        return found
                self._text += os.read(self._master, 65_536).decode(errors="replace")
        except OSError:
            raise AssertionError(f"it ended: {self._text}") from None
        finally:
            stuck.cancel()

    def close(self) -> None:
        """Close the terminal."""
        with suppress(OSError):
            os.close(self._master)


@contextmanager
def terminal(command: Sequence[str], env: dict[str, str]) -> Iterator[Terminal]:
    found = Terminal(command, env)
    try:
        yield found
    finally:
        found.close()
        found.process.kill()
        found.process.wait()


def server_pid(data: Path) -> int:
    (ports,) = (data / "nats").glob("nats-server_*.ports")
    return int(ports.stem.removeprefix("nats-server_"))


@contextmanager
def ending(*pids: int) -> Iterator[None]:
    """Processes that are no children of this one end in the block, or soon after it."""
    files = [os.pidfd_open(pid) for pid in pids]
    try:
        yield
        for pid, file in zip(pids, files, strict=True):
            assert select.select([file], [], [], END_S)[0], f"{pid} lives on"
    finally:
        for file in files:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(file, signal.SIGKILL)
            os.close(file)


def assert_drained(data: Path) -> None:
    """The service closed its log in order, which empties the WAL, and the next one may start."""
    wal = data / "meterd.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0
    with Service(data) as service, RawClient(service.url) as client:
        assert client.request(STATS).json()["total_calls"] == 1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def env(data: Path) -> dict[str, str]:
    return {"METERD_DATA_DIR": str(data), "METERD_NATS_PORT": "0"}


@pytest.mark.parametrize("verb", ["up", "serve"])
def test_a_service_whose_terminal_is_closed_drains(
    verb: str, data: Path, env: dict[str, str], nats_server: NatsServer
) -> None:
    env["METERD_NATS_URL"] = nats_server.url
    with terminal([*METERD, verb], env) as shown:
        url = str(shown.ready()["nats_url"])
        with RawClient(url) as client:
            client.request(TRACK, {"provider": "exa"}).json()
        servers = [server_pid(data)] if verb == "up" else []
        with ending(*servers):
            shown.close()
            assert shown.process.wait(END_S) == 0
    assert_drained(data)


def test_the_processes_of_make_run_end_with_the_terminal(
    data: Path, env: dict[str, str], tmp_path: Path
) -> None:
    meterd = tmp_path / "meterd"
    meterd.write_text(f'#!/bin/sh\nexec {shlex.join(METERD)} "$@"\n')
    meterd.chmod(0o700)
    env["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    # As make does: the supervisor is in the foreground group, and not the session's leader.
    command = [sys.executable, "-m", "honcho", "start", "--no-colour"]
    with terminal(["/bin/sh", "-c", f"{shlex.join(command)}; exit 1"], env) as shown:
        ready = shown.ready()
        pid = int(str(ready["pid"]))
        with RawClient(str(ready["nats_url"])) as client:
            client.request(TRACK, {"provider": "exa"}).json()
        with ending(pid, server_pid(data)):
            shown.close()
    assert_drained(data)


def test_a_service_that_was_started_with_nohup_outlives_the_terminal(
    data: Path, env: dict[str, str], tmp_path: Path
) -> None:
    pipe = tmp_path / "stdout"
    os.mkfifo(pipe)
    with (
        os.fdopen(os.open(pipe, os.O_RDWR)) as stdout,
        terminal(
            ["/bin/sh", "-c", f"nohup {shlex.join(METERD)} up >{pipe} 2>{pipe}.err & read _"], env
        ) as shown,
    ):
        ready = json.loads(stdout.readline())
        with ending(ready["pid"], server_pid(data)):
            shown.close()
            shown.process.wait(END_S)
            os.kill(ready["pid"], signal.SIGHUP)
            with RawClient(ready["nats_url"]) as client:
                assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2
            os.kill(ready["pid"], signal.SIGTERM)
    assert_drained(data)


def test_a_service_serves_though_nobody_can_read_its_ready_line(
    nats_server: NatsServer, env: dict[str, str]
) -> None:
    env |= {"METERD_NATS_URL": nats_server.url}
    with Path("/dev/full").open("w") as full, RawClient(nats_server.url) as client:
        process = subprocess.Popen(
            [*METERD, "serve"],
            cwd=ROOT,
            env=os.environ | env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                assert process.stderr is not None
                while json.loads(process.stderr.readline())["event"] != "ready_not_written":
                    pass
                assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2
                process.stderr.close()  # nor does anybody read its log from here on
                process.terminate()
                assert process.wait(END_S) == 0
            finally:
                process.kill()


def test_a_line_that_nobody_can_read_fails_nothing_and_changes_no_exit_code() -> None:
    script = """if True:
        import os, sys, structlog
        from actors.settings.logging import configure_logging
        configure_logging("info")
        sys.stdin.readline()
        for _ in range(1_000):
            structlog.get_logger().warning("nobody_reads", text="x" * 100)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stderr.close()
    process.communicate(b"\n")
    assert process.wait(END_S) == 0
