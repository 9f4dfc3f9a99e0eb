"""The idempotency fingerprint: what makes two requests with one key the same.

Content is the verb and the decoded body without ``event_id``, ``deadline`` and ``timestamp``,
with defaults filled in and aliases resolved (contract, section 2). The term is that of the IETF
draft for the header ``Idempotency-Key``. Of a ``track`` and a ``reset`` the log has every field,
which are compared themselves; all other changes keep the digest of their parts.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from messages.codec import money_of
from messages.errors import RequestError


def fingerprint(command: str, parts: list[Any]) -> str:
    """The digest of a change: the name of its command, and all that it asks for."""
    source = msgspec.json.encode([command, parts])
    return blake2b(source, digest_size=12).hexdigest()


def value_of(raw: msgspec.Raw) -> int | str:
    """A number's value, whatever way it was written; the text of what is no amount.

    Such a text cannot be stored, so it is never the content of a key.
    """
    try:
        amount = money_of(raw, "")
    except RequestError:
        amount = None
    return bytes(raw).decode(errors="replace") if amount is None else amount
