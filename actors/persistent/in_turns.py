"""Long replies are made some entries in a turn of the loop, and then others have theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from msgspec import Raw

from messages.codec import encode_reply

TURN: Final = 32
"""Entries that are shown before the loop gets a turn: half a millisecond."""


async def fitting_in_turns(entries: Iterable[object], bytes_max: int) -> list[Raw]:
    """The first entries, encoded, as many as fit; at least one if there is any."""
    found: list[Raw] = []
    size = 0
    for entry in entries:
        encoded = encode_reply(entry)
        size += len(encoded) + 1
        if found and size > bytes_max:
            break
        found.append(Raw(encoded))
        if len(found) % TURN == 0:
            await asyncio.sleep(0)
    return found
