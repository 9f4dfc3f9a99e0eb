"""Whether the hot path under test is compiled, see .ci/compile.py; it is tested both ways."""

from __future__ import annotations

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from typing import Final

from actors.compiled import outdated

ROOT: Final = Path(__file__).resolve().parents[2]
ROOMS: Final = tuple(str(ROOT / room) for room in ("actors", "messages", "persistence"))


def import_sources() -> None:
    """From now on import our modules from their sources, whatever was compiled of them."""

    def finder(path: str) -> FileFinder:
        if not path.startswith(ROOMS):
            raise ImportError(path)
        return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, finder)
    sys.path_importer_cache.clear()


CHANGED: Final = outdated()
"""What is not as it was compiled, which must not be tested in place of its source."""
if CHANGED is not None or os.environ.get("METERD_TEST_SOURCES"):
    import_sources()

import actors.user.actor  # noqa: E402 -- behind the choice

COMPILED: Final = not str(actors.user.actor.__file__).endswith(".py")
