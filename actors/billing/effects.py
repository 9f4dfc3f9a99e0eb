"""What a decision comes to: events to persist, or a reply alone. Nothing here is text.

The shell applies and appends the events, and has `wire` render what is shown.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from messages.stored.events import (
    Event,
)


class Shown:
    """A reply as the rules know it, short of what every change has: its key and its position."""

    __slots__ = ()


class Persist:
    """A change that happened.

    Attributes:
        events: what happened, in order; the last one carries the key.
        keys: those of the events before the last, from the first on, if they have any.
        shown: the reply, if it is known without the last event.
    """

    __slots__ = ("events", "keys", "shown")

    def __init__(
        self,
        events: tuple[Event, ...],
        keys: tuple[str | None, ...] = (),
        shown: Shown | None = None,
    ) -> None:
        self.events = events
        self.keys = keys
        self.shown = shown


class Reply:
    """A change that did not happen and does not use up its key.

    Attributes:
        shown: what says so.
        key: that of the request, None if it has none or the reply does not show it.
    """

    __slots__ = ("key", "shown")

    def __init__(self, shown: Shown | Struct, key: str | None) -> None:
        self.shown = shown
        self.key = key


Effect: TypeAlias = Persist | Reply
