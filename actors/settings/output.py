"""stdout and stderr whose other end may go away: the terminal is closed, a reader is killed."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import Final, TextIO

_GONE: Final = (errno.EIO, errno.EPIPE, errno.ENXIO, errno.EBADF)
"""What a write fails with when nobody will ever read there again; a full disk may get room."""


class Patient:
    """A stream whose failures are nobody's: what cannot be written is dropped.

    So a line of the log never fails what it tells of: it is written in the midst of an answer or
    of a commit, and none is worth either of them.

    Args:
        stream: where to write; None, as Python has it of one that was closed from the start:
            nowhere.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` if that can be; its length."""
        try:
            if self._stream is not None:
                self._stream.write(text)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self._failed(error)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written, if that can be."""
        try:
            if self._stream is not None:
                self._stream.flush()
        except (OSError, ValueError) as error:
            self._failed(error)

    def _failed(self, error: OSError | ValueError) -> None:
        if self._stream is not None and getattr(error, "errno", 0) in _GONE:
            with suppress(OSError):  # of a stream without a descriptor too
                let_go(self._stream)


def let_go(stream: TextIO) -> None:
    """Have a stream lead to nowhere: else its last flush would change the exit code to 120."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def finish(*streams: TextIO) -> None:
    """Write what is left at the end of a process; what cannot be written then is dropped."""
    for stream in streams:
        try:
            stream.flush()
        except OSError:
            let_go(stream)
