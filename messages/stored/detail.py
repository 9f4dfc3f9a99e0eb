"""What few calls and holds say: one optional part of what is stored of each.

Most calls have none, so they pay for one field that is not there. As `events`: fields are added
with a default and never edited.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ..scalars import Outcome

DETAIL_NAMES: Final = {
    "outcome": "o",
    "key": "k",
    "tags": "t",
    "alias": "a",
    "filled": "fl",
    "text": "x",
}
"""What the fields are called in the log."""


class UsageDetail(Struct, frozen=True, kw_only=True, omit_defaults=True, rename=DETAIL_NAMES):
    """What a call says beside the fields that nearly all have.

    Attributes:
        outcome: how the call ended, if the status code does not say it.
        key: the API key or device that made it: an id, never the secret.
        tags: dimensions of the caller's own.
        alias: the provider as it was sent, if that is an alias that the catalogue has by a put.
        filled: which of the names ``model`` and ``actual`` the catalogue filled in otherwise than
            the program would.
        text: the provider is of the text group and none of the 14 of the contract.
    """

    outcome: Outcome | None = None
    key: str | None = None
    tags: dict[str, str] | None = None
    alias: str | None = None
    filled: tuple[str, ...] = ()
    text: bool = False


class HoldDetail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What few holds say; the fields are those of `UsageDetail`."""

    key: str | None = None
    tags: dict[str, str] | None = None
    alias: str | None = None
    filled: tuple[str, ...] = ()
    text: bool = False


NO_DETAIL: Final = UsageDetail()
NO_HOLD_DETAIL: Final = HoldDetail()
"""What one without a detail says."""
