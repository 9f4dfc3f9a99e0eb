"""What an operator, or the service, asks of an actor, beside the verbs of callers."""

from __future__ import annotations

from msgspec import Struct


class Rebuild(Struct, frozen=True):
    """Restore the user's state from the log alone."""


class Register(Struct, frozen=True):
    """Store providers, of which calls were the first to hear: asked of the catalogue's actor."""

    providers: tuple[str, ...]


class Close(Struct, frozen=True):
    """Close the user's periods that are over and have usage, and publish that."""


class Forget(Struct, frozen=True):
    """Erase the personal fields of all that is logged of the user."""
