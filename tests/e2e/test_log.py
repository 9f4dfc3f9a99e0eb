"""The log of the real service: what it says of its life, to programs and to people."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from messages.subjects import PREFIX, request_subject
from tests.support.raw import RawClient
from tests.support.service import Service

WAIT_S = 30.0
OF_A_LIFE = ("started", "request", "usage_reset", "stopping", "stopped")
"""The lines that have to come; a slow machine may have others between them."""


class Terminal:
    """A pseudo terminal; what is written to it is read all the time, or its writer would wait."""

    def __init__(self) -> None:
        self._master, self.slave = os.openpty()
        self._read = b""
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def close_slave(self) -> None:
        """Leave it to the process that has it."""
        os.close(self.slave)

    def text(self) -> str:
        """All that was written to it until every process that had it has ended."""
        self._reader.join(WAIT_S)
        assert not self._reader.is_alive()
        os.close(self._master)
        return self._read.decode()

    def _follow(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody has it any more
            while data := os.read(self._master, 65_536):
                self._read += data


def start_on_a_terminal(service: Service, settings: dict[str, str]) -> Terminal:
    """Start the service with its log on a terminal."""
    terminal = Terminal()
    service.stderr_fd = terminal.slave
    service.env |= settings
    service.launch()
    terminal.close_slave()
    service.wait_ready()
    return terminal


def said(service: Service) -> list[dict[str, Any]]:
    """The lines of the log, each of which is JSON."""
    return [json.loads(line) for line in service.stderr.splitlines()]


def ask(client: RawClient, verb: str, user: str, **body: Any) -> Any:
    return client.request(request_subject(PREFIX, verb, user), body).json()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Service]:
    """A service with a server of its own and no streams, which is not started."""
    env = {"METERD_ALERT_STREAM": "off", "METERD_EVENT_STREAM": "off"}
    service = Service(tmp_path / "data", env=env)
    yield service
    service.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_life_of_the_service_is_told_from_its_start_to_its_stop(
    up: Service, number: signal.Signals
) -> None:
    up.start()
    with RawClient(up.url) as client:
        for event_id in ("a", "a", "b"):
            ask(client, "track", "alice", provider="exa", event_id=event_id)
        seq = ask(client, "reset", "alice", event_id="r")["seq"]
    up.process.send_signal(number)
    assert up.wait() == 0
    life = [line for line in said(up) if line["event"] in OF_A_LIFE]
    started, reset, stopping, stopped = life
    assert (started["event"], started["level"]) == ("started", "info")
    assert started["version"] == up.ready["version"]
    assert (started["command"], started["prefix"], started["seq"]) == ("up", PREFIX, 0)
    assert (started["pid"], started["server"]) == (up.pid, up.url)
    assert (started["data_dir"], started["log"]) == (str(up.data_dir), "info")
    assert started["server_version"][0].isdigit()
    assert (reset["event"], reset["seq"]) == ("usage_reset", seq)
    assert (stopping["event"], stopping["why"]) == ("stopping", number.name)
    assert (stopped["event"], stopped["seq"]) == ("stopped", seq)
    assert stopped["drain_s"] >= 0

    up.start()
    assert up.terminate() == 0
    (again,) = [line for line in said(up) if line["event"] == "started"]
    assert again["seq"] == seq


def test_an_end_that_nobody_asked_for_is_an_error_with_its_reason(up: Service) -> None:
    up.start()
    (ports,) = (up.data_dir / "nats").glob("nats-server_*.ports")
    os.kill(int(ports.stem.removeprefix("nats-server_")), signal.SIGKILL)
    assert up.wait() == 1
    *lines, last = up.stderr.splitlines()
    found = [json.loads(line) for line in lines]
    (stopping,) = [line for line in found if line["event"] == "stopping"]
    assert stopping["level"] == "error"
    assert last == f"meterd: {stopping['why']}"
    assert [line["event"] for line in found if line["event"] in OF_A_LIFE][-1] == "stopped"


def test_a_person_at_a_terminal_reads_lines_that_no_caller_can_forge(up: Service) -> None:
    terminal = start_on_a_terminal(up, {"METERD_LOG_LEVEL": "debug", "TERM": "dumb"})
    with RawClient(up.url) as client:
        ask(client, "track", "an\u202eevil user", provider="exa")
        client.request(f"{PREFIX}.stats.=1B=5B2J\x1b[2J\x07")
    assert up.terminate() == 0
    text = terminal.text()
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    lines = {line: line.split("]")[1].split()[0] for line in text.splitlines()}
    life = [line for line, event in lines.items() if event in OF_A_LIFE]
    events = ["started", "request", "request", "stopping", "stopped"]
    assert [lines[line] for line in life] == events
    _, tracked, refused, stopping, _ = life
    assert r'verb=track user="an\u202eevil user" outcome=ok ms=' in tracked
    assert "verb=stats" in refused
    assert "outcome=invalid_user" in refused
    assert "[info   ]" in stopping
    assert "why=SIGTERM" in stopping
    assert up.ready["event"] == "ready"  # on stdout, as JSON, all the same


def test_a_terminal_that_takes_colours_has_them(up: Service) -> None:
    terminal = start_on_a_terminal(up, {"TERM": "xterm", "NO_COLOR": ""})
    assert up.terminate() == 0
    assert "\x1b[32minfo" in terminal.text()


def test_a_log_that_nobody_reads_any_more_holds_up_no_request(up: Service) -> None:
    reader, writer = os.pipe()
    up.stderr_fd = writer
    up.env |= {"METERD_LOG_LEVEL": "debug"}
    up.launch()
    os.close(writer)
    up.wait_ready()
    os.close(reader)
    with RawClient(up.url) as client:
        for count in range(3):
            assert ask(client, "track", "alice", provider="exa")["seq"] >= count
        assert ask(client, "stats", "alice")["total_calls"] == 3
    assert up.terminate() == 0
