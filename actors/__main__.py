"""The command ``meterd``."""

from __future__ import annotations

import sys

from actors.cli import service


def main() -> None:
    """Run the service, or the command line, which needs the extra ``cli``."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in service.VERBS:
        sys.exit(service.start(arguments[0], arguments[1:]))
    try:
        from actors.cli.main import command_line  # noqa: PLC0415 -- the service does without it

        app = command_line(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        sys.exit(service.say_without_extra(arguments))
    app(prog_name="meterd")


if __name__ == "__main__":
    main()
