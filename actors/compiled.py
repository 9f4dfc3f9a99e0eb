"""Whether what was compiled of the hot path is what its sources say.

Python takes a compiled module wherever one lies beside the source, also one that is older:
money would be counted by two versions at once. So the compilation keeps digests of the sources
(.ci/compile.py), and the service does not start on others.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DIGESTS: Final = "actors/compiled.json"


def outdated(root: Path = ROOT) -> str | None:
    """The first source that was compiled and is another one now, None where there is none."""
    try:
        digests: dict[str, str] = json.loads((root / DIGESTS).read_bytes())
    except FileNotFoundError:
        return None  # nothing is compiled
    for name, digest in digests.items():
        source = root / name
        if not source.exists() or blake2b(source.read_bytes()).hexdigest() != digest:
            return name
    return None
