"""The chain as it was until schema 5: one for all partitions, with a link for each block.

A link covers every column of its rows but ``personal``. It is kept with the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from persistence.records import Row

START: Final = b""
"""What the first link follows."""
_DIGEST_BYTES: Final = 16

_encode: Final = msgspec.msgpack.Encoder().encode


def link(before: bytes, rows: Sequence[Row]) -> bytes:
    """The digest of rows that were written together, after the link ``before``."""
    covered = _encode([row[:8] for row in rows])
    return blake2b(covered, key=before, digest_size=_DIGEST_BYTES).digest()
