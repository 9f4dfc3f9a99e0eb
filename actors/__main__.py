"""The command ``meterd``."""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

from actors.cli import service

FAILED: Final = 1
_NOT_WRITTEN: Final = (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG, errno.EDQUOT)
"""What a write to stdout fails with; of a file, the error names it."""


def main() -> None:
    """Run the service, or the command line, which needs the extra ``cli``."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in service.VERBS:
        sys.exit(service.start(arguments[0], arguments[1:]))
    try:
        code = _run(arguments)
        sys.stdout.flush()  # here: at the interpreter's end a full disk is a traceback
    except OSError as error:
        if error.filename is not None or error.errno not in _NOT_WRITTEN:
            raise
        print(f"meterd: the output cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201 -- as service
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left of it
        code = FAILED
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    try:
        from actors.cli.main import command_line, run  # noqa: PLC0415 -- the service does without it

        app = command_line(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        return service.say_without_extra(arguments)
    return run(app, arguments)


if __name__ == "__main__":
    main()
