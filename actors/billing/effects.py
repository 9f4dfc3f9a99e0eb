"""What a decision comes to: the events of a change, or the reply of one that is refused."""

from __future__ import annotations

from messages.stored.events import Event


class Recorded:
    """A change that happened: its events in order, the last of which carries the key.

    Attributes:
        events: what happened.
        keys: those of the events before the last, from the first on, where they have any.
        text: the fields of its reply but those of `decisions.changed`, where they are written
            already.
    """

    __slots__ = ("events", "keys", "text")

    def __init__(
        self, events: tuple[Event, ...], keys: tuple[str | None, ...] = (), text: str = ""
    ) -> None:
        self.events = events
        self.keys = keys
        self.text = text


class Refused:
    """A change that did not happen and does not use up its key: the encoded reply that says so."""

    __slots__ = ("reply",)

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
