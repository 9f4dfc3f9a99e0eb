"""The place of one id, and what the runtime asks of the actor in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol

from actors.runtime.request import Request
from messages.errors import RequestError


class Detour(NamedTuple):
    """Work off the loop that a request needs.

    Attributes:
        work: begins the work; it answers the request, or returns True to have it handled again.
            It raises `RequestError`, `JournalError`, or `Unreadable` of a row that it needs.
            No coroutine yet: one that is never awaited would have to be closed, and to close
            one that has ended raises if it is compiled.
        blocks: whether later requests of the same user wait for it.
    """

    work: Callable[[], Coroutine[Any, Any, bool]]
    blocks: bool


class Actor(Protocol):
    """What the registry asks of an actor."""

    def handle(self, request: Request) -> Detour | None:
        """Take one request, synchronously. Raises `RequestError` to refuse it, unchanged."""

    def quiescent(self) -> bool:
        """Whether nothing of its state is still to become durable."""
        ...

    def weight(self) -> int:
        """About how many bytes its state takes."""
        ...

    def snapshot(self) -> bool:
        """Have the state written if that is worth it; returns whether. Called when quiescent."""
        ...


class Cell:
    """The place of one id.

    Its stash is made for the first request that waits and goes with the last one: nearly always
    there is none, and an empty deque takes 760 bytes.
    """

    __slots__ = (
        "actor",
        "again",
        "busy",
        "stash",
        "used_at",
        "user",
        "waiting",
        "weight",
    )

    def __init__(self, user: str) -> None:
        self.user = user
        self.actor: Actor | None = None
        self.busy = False  # loading, or on a blocking detour: requests go to the stash
        self.stash: deque[Request] | None = None
        self.waiting = 0
        self.again = False  # used again since it was queued
        self.used_at = 0.0
        self.weight = 0  # bytes of its actor when it was last weighed

    def opened(self) -> deque[Request]:
        """The stash, for a request to wait in."""
        if self.stash is None:
            self.stash = deque()
        return self.stash

    def take(self) -> Request | None:
        """The request that is next, None if none waits."""
        if self.stash is None:
            return None
        request = self.stash.popleft()
        if not self.stash:
            self.stash = None
        return request

    def refuse(self, why: RequestError) -> None:
        """Answer all that wait in the stash with an error."""
        while (request := self.take()) is not None:
            request.refuse(why)
