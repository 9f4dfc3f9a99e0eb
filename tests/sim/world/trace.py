"""All that happened in one life, as a digest."""

from __future__ import annotations

import asyncio
from hashlib import blake2b


class Trace:
    """A digest of all that happened: two lives with the same one are the same life."""

    def __init__(self) -> None:
        self._digest = blake2b(digest_size=12)

    def note(self, *what: object) -> None:
        """Something happened."""
        now = asyncio.get_running_loop().time()
        self._digest.update(repr((round(now, 6), *what)).encode())

    def __str__(self) -> str:
        return self._digest.hexdigest()
