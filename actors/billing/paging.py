"""As many entries as fit into one reply: none is over 900 KiB."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from messages.codec import encode_reply

BYTES_MAX: Final = 880 * 1024
"""Below the 900 KiB of the contract, with room for the envelope."""

_T = TypeVar("_T")


def fitting(entries: Iterable[_T], bytes_max: int = BYTES_MAX) -> tuple[_T, ...]:
    """The first entries, as many as fit; at least one if there is any."""
    found: list[_T] = []
    size = 0
    for entry in entries:
        size += len(encode_reply(entry)) + 1
        if found and size > bytes_max:
            break
        found.append(entry)
    return tuple(found)
