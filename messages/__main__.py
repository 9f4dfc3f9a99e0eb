"""``python -m meterd``: the command `meterd`, if the service is installed beside this client."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; exit with 2 and one sentence if only the client is installed."""
    try:
        from meterd_server import main as run  # noqa: PLC0415 -- it is another distribution
    except ModuleNotFoundError as error:
        if error.name != "meterd_server":
            raise
        why = "only the client is installed here; the service is the package meterd"
        sys.stderr.write(f"meterd: {why}: pip install meterd\n")
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
