"""Faults below the service: of its disk, its clock and its life, begun and ended while it runs.

`shim.c` is compiled with the machine's ``cc`` and preloaded. What it does is said in a file
that both sides map.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("shim.c")
DATA_FILES: Final = "/data/"
"""Part of the path of all that a service under torture stores."""


class Op(IntEnum):
    """The calls that the shim knows; a socket's writes are `SEND`."""

    READ = 0
    WRITE = 1
    SYNC = 2
    TRUNCATE = 3
    OPEN = 4
    RENAME = 5
    SEND = 6


class How(IntEnum):
    """Where in a call a process dies."""

    BEFORE = 0
    AFTER = 1
    HALFWAY = 2


class _Clock(IntEnum):
    REAL = 0
    OFFSET = 1
    FIXED = 2


class Control(ctypes.Structure):
    """``struct control`` of `shim.c`."""

    _fields_ = (
        ("clock_mode", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("error_ops", ctypes.c_int32),
        ("error_skip", ctypes.c_int32),
        ("error_left", ctypes.c_int32),
        ("kill_ops", ctypes.c_int32),
        ("kill_left", ctypes.c_int32),
        ("kill_how", ctypes.c_int32),
        ("clock_ns", ctypes.c_int64),
        ("sync_delay_us", ctypes.c_int64),
        ("room", ctypes.c_int64),
        ("slow_on_main", ctypes.c_int64),
        ("holding", ctypes.c_int32),
        ("held", ctypes.c_int32),
        ("calls", ctypes.c_uint64 * len(Op)),
        ("failed", ctypes.c_uint64 * len(Op)),
        ("match", ctypes.c_char * 64),
        ("undo", ctypes.c_char * 256),
    )


class NoCompilerError(Exception):
    """There is no ``cc``, so what needs the shim cannot be run."""


@cache
def library() -> Path:
    """The compiled shim, made once per process."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoCompilerError("no cc: faults of the disk and the clock cannot be made")
    directory = Path(tempfile.mkdtemp(prefix="meterd-shim-"))
    target = directory / "shim.so"
    subprocess.run(
        [
            *(compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"),
            *("-o", str(target), str(SOURCE), "-ldl", "-lpthread"),
        ],
        check=True,
    )
    return target


class Shim:
    """Says what goes wrong in the processes that are started with `env`."""

    def __init__(self, directory: Path, *, power: bool = False) -> None:
        self._file = directory / "shim"
        self._file.write_bytes(bytes(ctypes.sizeof(Control)))
        with self._file.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.control = Control.from_buffer(self._map)
        self.control.room = -1
        self.control.match = DATA_FILES.encode()
        self.undo = directory / "undo"
        if power:
            self.control.undo = str(self.undo).encode()
        self.env = {"LD_PRELOAD": str(library()), "TORTURE_SHIM": str(self._file)}

    @property
    def failed(self) -> int:
        """How many calls were made to fail."""
        return sum(self.control.failed)

    # -- the clock

    def set_clock(self, at: int) -> None:
        """Let the clock of the wall stand at a moment, in microseconds."""
        self.control.clock_ns = at * 1000
        self.control.clock_mode = _Clock.FIXED

    def shift_clock(self, seconds: float) -> None:
        """Let the clock of the wall run, so much ahead or behind."""
        self.control.clock_ns = int(seconds * 1e9)
        self.control.clock_mode = _Clock.OFFSET

    # -- the disk

    @contextmanager
    def failing(
        self, error: int, *ops: Op, skip: int = 0, times: int = -1, match: str = DATA_FILES
    ) -> Iterator[None]:
        """Let calls on files fail: after ``skip`` of them, ``times`` or all."""
        control = self.control
        control.match = match.encode()
        control.error_ops = sum(1 << op for op in ops)
        control.error_skip, control.error_left = skip, times
        control.error = error  # the last one: from here on it is looked at
        try:
            yield
        finally:
            control.error = 0
            control.match = DATA_FILES.encode()

    @contextmanager
    def full(self, room: int) -> Iterator[None]:
        """A disk that is full after so many bytes; the write at its end is cut."""
        self.control.room = room
        try:
            yield
        finally:
            self.control.room = -1

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """A disk that takes so long for each sync."""
        self.control.slow_on_main = 0
        self.control.sync_delay_us = int(seconds * 1e6)
        try:
            yield
        finally:
            self.control.sync_delay_us = 0

    @property
    def slow_on_main(self) -> int:
        """How many syncs of the disk that was slow last the main thread has met."""
        return int(self.control.slow_on_main)

    @contextmanager
    def holding_a_sync(self, match: str) -> Iterator[None]:
        """Let syncs of some files take until the end of this, but for those of the main thread."""
        control = self.control
        control.match = match.encode()
        control.held, control.holding = 0, 1
        try:
            yield
        finally:
            control.holding = 0
            control.match = DATA_FILES.encode()

    @property
    def held(self) -> int:
        """How many syncs are being held."""
        return int(self.control.held)

    # -- the process

    def kill_at(self, call: int, how: How, *ops: Op) -> None:
        """Let the process die at the call of this number."""
        control = self.control
        control.kill_left = 0
        control.kill_ops = sum(1 << op for op in ops)
        control.kill_how = how
        control.kill_left = call

    def spare(self) -> None:
        """Let it live."""
        self.control.kill_left = 0
