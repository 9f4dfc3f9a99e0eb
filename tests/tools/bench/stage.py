"""What is measured and what it is measured with: processes, and what the kernel says of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.service import ROOT, Service

OUT = ROOT / ".bench"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
READY_S = 300.0
"""A long log may take long to start on: that is a figure, not a failure."""
WATCH_S = 0.05
STOPPED_S = 0.5
TRIES = 4
ONCE = ("seed", "subscribe", "fill", "visit")
"""Loads that leave the service another one."""


@dataclass(frozen=True)
class Options:
    """What a run may be told.

    Attributes:
        rounds: of the hot figures; expensive ones have fewer.
        seconds: of one measurement.
        events: how long the big log is.
    """

    rounds: int
    seconds: float
    events: int

    @property
    def few(self) -> int:
        """Rounds of an expensive figure."""
        return min(self.rounds, 3)


@dataclass(frozen=True)
class Stage:
    """A service with a server of its own, and the bare echo on the same server."""

    service: Service
    echo_pid: int

    @property
    def url(self) -> str:
        return self.service.url

    def load(self, kind: str, *options: str) -> dict[str, Any]:
        """Run one load in a process of its own; what it says in its end."""
        return run_load(self.url, kind, *options)


@contextmanager
def staged(directory: Path, env: Mapping[str, str] | None = None) -> Iterator[Stage]:
    """Run a service on a data directory, and an echo beside it."""
    service = Service(directory, command="up", env=env)
    service.launch()
    with service_ready(service), echo_responder(service.url) as echo_pid:
        yield Stage(service, echo_pid)


@contextmanager
def service_ready(service: Service) -> Iterator[Service]:
    """Wait for a launched service; it is killed in the end."""
    try:
        service.wait_ready(READY_S)
        yield service
    finally:
        service.kill()


@contextmanager
def echo_responder(url: str) -> Iterator[int]:
    """Run the yardstick; gives its process id."""
    command = [sys.executable, "-m", "tests.tools.bench.echo", url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise SystemExit("the echo responder did not start")
            yield process.pid
        finally:
            process.kill()


def run_load(url: str, kind: str, *options: str) -> dict[str, Any]:
    """Run one load in a process of its own; what it says in its end."""
    return run_module("tests.tools.bench.load", url, kind, *options, repeat=kind not in ONCE)


def run_module(module: str, *arguments: str, repeat: bool = True) -> dict[str, Any]:
    """Run a module of ours in a process of its own; the line of JSON that it prints.

    A measurement during which everything stood still is made again: it says nothing.
    """
    command = [sys.executable, "-m", module, *arguments]
    tries = TRIES if repeat else 1
    while True:
        watch = Watch()
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        tries -= 1
        if not watch.ended() or not tries:
            result: dict[str, Any] = json.loads(done.stdout)
            return result
        print(f"all stood still for {watch.stopped_s:.1f} s: measured again", flush=True)


class Watch:
    """Sees whether this process is stopped, or gets no turn, until `ended`."""

    def __init__(self) -> None:
        self.stopped_s = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def ended(self) -> float:
        """Stop looking; how many seconds all stood still, in gaps of `STOPPED_S` or more."""
        self._end.set()
        self._thread.join()
        return self.stopped_s

    def _look(self) -> None:
        before = time.monotonic()
        while not self._end.wait(WATCH_S):
            now = time.monotonic()
            if now - before >= STOPPED_S:
                self.stopped_s += now - before
            before = now


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_mb(pid: int, field: str = "VmRSS") -> float:
    """What a process has in memory, in MB (10^6); ``VmHWM``: the most it ever had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit(f"the process {pid} has ended")
