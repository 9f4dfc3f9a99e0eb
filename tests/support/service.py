"""The real service under test, a process of its own: `meterd up` or `meterd serve`.

Nothing is left behind: what still runs at the end of its ``with`` block, of its object or of
the interpreter is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.meterd import METERD

ROOT = Path(__file__).resolve().parents[2]
READY_S = 60.0
END_S = 60.0


class ServiceEndedError(Exception):
    """The service ended before it was ready."""

    def __init__(self, code: int, stderr: str) -> None:
        super().__init__(f"exit code {code}: {stderr.strip()}")
        self.code = code
        self.stderr = stderr


class Service:
    """`meterd up` or `meterd serve` on a data directory; it can be started again and again.

    Args:
        data_dir: made by the service; the log of its stderr lies beside it.
        command: ``up`` or ``serve``.
        env: settings; every other ``METERD_`` variable of the test's own is taken away.
        umask: that it is started with; -1: that of the tests.
        program: what is started, with ``command`` as its argument.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        command: str = "up",
        env: Mapping[str, str] | None = None,
        umask: int = -1,
        program: Sequence[str] = METERD,
    ) -> None:
        self.data_dir = data_dir
        self.command = command
        self.env = dict(env or {})
        self.umask = umask
        self.program = program
        self.stderr_file = data_dir.with_name(f"{data_dir.name}.stderr")
        self.ready: dict[str, Any] = {}
        self.lines: list[str] = []
        self.stderr_fd: int | None = None  # where stderr goes, if not into its file
        self._process: subprocess.Popen[str] | None = None
        self._stdout: queue.Queue[str | None] = queue.Queue()
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return str(self.ready["nats_url"])

    @property
    def stderr(self) -> str:
        return self.stderr_file.read_text(errors="replace")

    def start(self, wait_s: float = READY_S) -> Self:
        """Start it and wait for its ready line; ServiceEndedError if it ends before."""
        self.launch()
        self.wait_ready(wait_s)
        return self

    def launch(self) -> None:
        """Start it and do not wait."""
        assert self._process is None or self._process.poll() is not None, "it runs"
        environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
        environ |= {"METERD_DATA_DIR": str(self.data_dir), "METERD_NATS_PORT": "0"} | self.env
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        self.ready, self.lines = {}, []
        with self.stderr_file.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*self.program, self.command],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr if self.stderr_fd is None else self.stderr_fd,
                text=True,
                process_group=0,
                umask=self.umask,
            )
        weakref.finalize(self, _kill_group, self._process)
        self._stdout = queue.Queue()
        self._reader = threading.Thread(
            target=_read_lines, args=(self._process, self._stdout), daemon=True
        )
        self._reader.start()

    def wait_ready(self, wait_s: float = READY_S) -> None:
        """Wait for the ready line."""
        deadline = time.monotonic() + wait_s
        while not self.ready:
            try:
                line = self._stdout.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise TimeoutError(f"not ready in {wait_s:g} s: {self.stderr}") from None
            if line is None:
                raise ServiceEndedError(self.wait(), self.stderr)
            self.lines.append(line)
            with contextlib.suppress(json.JSONDecodeError):
                record = json.loads(line)
                if isinstance(record, dict) and record.get("event") == "ready":
                    self.ready = record

    def kill(self) -> None:
        """SIGKILL, as a crash; does nothing if it has ended."""
        if self._process is not None:
            _kill_group(self._process)
            self.wait()

    def terminate(self, wait_s: float = END_S) -> int:
        """SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(wait_s)

    def wait(self, wait_s: float = END_S) -> int:
        """Wait for its end; return the exit code."""
        code = self.process.wait(wait_s)
        assert self._reader is not None
        self._reader.join(wait_s)
        return code


def _read_lines(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout as stdout:
        for line in stdout:
            lines.put(line)
    lines.put(None)


def _kill_group(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:  # else the number may be another's by now
        os.killpg(process.pid, signal.SIGKILL)
