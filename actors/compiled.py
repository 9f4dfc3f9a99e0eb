"""Whether what was compiled of the hot path is what its sources say.

Python takes a compiled module wherever one lies beside the source, also one that is older or
of a compilation that was interrupted: money would be counted by two versions at once. So the
compilation keeps digests of all that went into it and came out of it (.ci/compile.py), and
nothing runs on others.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
ROOMS: Final = ("actors", "messages", "persistence")
DIGESTS: Final = "actors/compiled.json"


def outdated(root: Path = ROOT) -> str | None:
    """The first file that is not as the compilation left it, None where there is none.

    Without digests nothing is compiled, and no compiled module may be there.
    """
    try:
        digests: dict[str, str] = json.loads((root / DIGESTS).read_bytes())["files"]
    except FileNotFoundError:
        digests = {}
    except (KeyError, TypeError, ValueError):
        return DIGESTS
    for name in sorted({*digests, *compiled_modules(root)}):
        if digests.get(name) != digest_of(root / name):
            return name
    return None


def compiled_modules(root: Path = ROOT) -> list[str]:
    """The files of all compiled modules that are there, whoever left them."""
    found = [path for room in ROOMS for path in (root / room).rglob("*.so")]
    return sorted(path.relative_to(root).as_posix() for path in found)


def digest_of(path: Path) -> str | None:
    """The digest of a file, None where there is none."""
    try:
        return blake2b(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
