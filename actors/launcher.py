"""The command `meterd`, installed: this module is `meterd_server`, all that the service owns there.

Its three packages have common names, so in a wheel they lie inside `meterd_server`, and only the
process of the service has that folder on its path: ahead of all else, so that no other package of
such a name is taken for one of ours, and ours for no other's.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the command in this process, which from now on is the service's own."""
    folder = Path(__file__).parent
    if (folder / "actors").is_dir():  # in a checkout the path has them
        sys.path.insert(0, str(folder))
    from actors.__main__ import main as run  # noqa: PLC0415 -- it is found from here on

    run()
