"""What a decision comes to: the events of a change, or the reply of one that is refused."""

from __future__ import annotations

from dataclasses import dataclass

from messages.events import Event


@dataclass(frozen=True, slots=True)
class Recorded:
    """A change that happened: its events in order, the last of which carries the key.

    ``keys`` are those of the events before the last, from the first on, where they have any.
    """

    events: tuple[Event, ...]
    keys: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that did not happen and does not use up its key: the encoded reply that says so."""

    reply: bytes
