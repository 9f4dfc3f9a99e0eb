"""The command ``meterd``."""

from __future__ import annotations

import sys
from typing import NoReturn

from actors.compiled import outdated


def main() -> None:
    """Run the service, or the command line, which needs the extra ``cli``."""
    changed = outdated()  # before a module is imported that may be one of another version
    if changed is not None:
        _end(f"{changed} is not as it was compiled: run make install", 1)
    from actors.cli import service  # noqa: PLC0415 -- as above

    arguments = sys.argv[1:]
    if arguments and arguments[0] in service.VERBS:
        sys.exit(service.start(arguments[0], arguments[1:]))
    try:
        from actors.cli.main import command_line  # noqa: PLC0415 -- the service does without it

        app = command_line(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        _end("this command needs the extra 'cli': pip install 'meterd[cli]'", 2)
    app(prog_name="meterd")


def _end(why: str, code: int) -> NoReturn:
    print(f"meterd: {why}", file=sys.stderr)  # noqa: T201 -- there is no command line to print it
    sys.exit(code)


if __name__ == "__main__":
    main()
