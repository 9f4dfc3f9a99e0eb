"""The command ``meterd``."""

from __future__ import annotations

import signal
import sys

from actors.leaving import INTERRUPTED, give_up, interruptible, leave_at, occupy_standard
from persistence.exhaustion import is_exhausted


def command() -> None:
    """Run the command as a process of its own, which Ctrl-C ends in silence at any moment."""
    heard = [signal.SIGINT]
    if sys.argv[1:2] in (["up"], ["serve"]):
        heard += [signal.SIGTERM, signal.SIGHUP]
    leave_at(*heard)
    occupy_standard()
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if is_exhausted(error):
            give_up()
        raise
    finally:
        leave_at(*heard)  # the loop of a service has put back what Python does
        from actors.settings.output import finish  # noqa: PLC0415 -- as in `main`

        finish(sys.stdout, sys.stderr)


def main() -> None:
    """Run the service, or the command line, which needs the extra ``cli``."""
    import errno  # noqa: PLC0415 -- these take a moment, in which `command` listens already
    import os  # noqa: PLC0415

    from actors.cli import service  # noqa: PLC0415

    arguments = sys.argv[1:]
    if arguments and arguments[0] in service.VERBS:
        sys.exit(service.start(arguments[0], arguments[1:]))
    try:
        code = _run(arguments)
        sys.stdout.flush()  # here: at the interpreter's end a full disk is a traceback
    except OSError as error:
        # What a write to stdout fails with; of a file, the error names it.
        not_written = {errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG, errno.EDQUOT}
        if error.filename is not None or error.errno not in not_written:
            raise
        print(f"meterd: the output cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201 -- as service
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left of it
        code = 1
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    from actors.cli import service  # noqa: PLC0415 -- as in `main`

    try:
        from actors.cli.main import command_line, run  # noqa: PLC0415 -- the service does without it

        app = command_line(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        return service.say_without_extra(arguments)
    with interruptible():
        return run(app, arguments)


if __name__ == "__main__":
    command()
