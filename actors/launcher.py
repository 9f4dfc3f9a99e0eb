"""The command `meterd`, installed: this module is `meterd_server`, all that the service owns there.

Its three packages have common names, so in a wheel they lie inside `meterd_server`, and only the
process of the service has that folder on its path: ahead of all else, so that no other package of
such a name is taken for one of ours, and ours for no other's.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command in this process, which from now on is the service's own."""
    # `actors.leaving` says why; it is not found yet, and what follows is the slower part.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from pathlib import Path  # noqa: PLC0415 -- as above

    folder = Path(__file__).parent
    if (folder / "actors").is_dir():  # in a checkout the path has them
        sys.path.insert(0, str(folder))
    from actors.__main__ import command  # noqa: PLC0415 -- it is found from here on

    command()
