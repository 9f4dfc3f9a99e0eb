"""The command ``meterd``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; it needs the extra ``cli``."""
    try:
        from actors.cli.main import command_line  # noqa: PLC0415 -- the line below says it better

        app = command_line(sys.argv[1:])
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        print(  # noqa: T201 -- there is no command line to print it
            "meterd: the command line needs the extra 'cli': pip install 'meterd[cli]'",
            file=sys.stderr,
        )
        sys.exit(2)
    app(prog_name="meterd")


if __name__ == "__main__":
    main()
