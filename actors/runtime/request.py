"""A request on its way: who asked, what for, and exactly one answer."""

from __future__ import annotations

from typing import Any, Protocol

from messages.codec import encode_reply, error_headers
from messages.errors import ErrorReply, RequestError
from messages.units import to_datetime


class Replies(Protocol):
    """Where answers leave."""

    def send(self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
        """Send one answer; never blocks, never raises."""

    def now(self) -> int:
        """What time it is, for answers that say so, in microseconds."""
        ...


class Tally:
    """How the requests of one verb went, for discovery."""

    __slots__ = ("errors", "last_error", "processing_ns", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.last_error = ""
        self.processing_ns = 0


class Owner(Protocol):
    """Who counts the requests that wait."""

    def answered(self, request: Request) -> None:
        """The request has its answer."""


class Request:
    """One request for one user.

    It is a `persistence.writer.Waiter`: an answer that was prepared leaves when what it
    reflects is durable.

    Attributes:
        user: the user id.
        token: the user id as a subject token.
        command: the decoded body.
        reply_to: where the answer goes, empty if nobody waits for one.
        replies: sends it.
        key: the idempotency key of a change, None for a read.
        key_is_new: whether the key is known to be new.
        deadline: microseconds since the epoch, None without one.
        tally: counts its verb's requests and errors.
        grew: whether its actor's state may have grown by more than a few bytes.
        facts: what its actor looked up for it before it can be handled, None before.
        owner: counts it as waiting, once it was dispatched.
        cell: the place in the registry where it waits.
        payload: the encoded answer that `durable` will send.
        headers: those of the answer.
        answered: whether it has its answer.
    """

    __slots__ = (
        "answered",
        "cell",
        "command",
        "deadline",
        "facts",
        "grew",
        "headers",
        "key",
        "key_is_new",
        "owner",
        "payload",
        "replies",
        "reply_to",
        "tally",
        "token",
        "user",
    )

    def __init__(
        self,
        user: str,
        token: str,
        command: Any,
        reply_to: bytes,
        replies: Replies,
        tally: Tally | None = None,
        *,
        key: str | None = None,
        deadline: int | None = None,
    ) -> None:
        self.user = user
        self.token = token
        self.command = command
        self.reply_to = reply_to
        self.replies = replies
        self.tally = tally
        self.key = key
        self.key_is_new = False
        self.deadline = deadline
        self.facts: Any = None
        self.grew = False
        self.owner: Owner | None = None
        self.cell: Any = None
        self.payload = b""
        self.headers: dict[str, str] | None = None
        self.answered = False

    def check_deadline(self, now: int) -> None:
        """Look at the deadline of a request that is about to run.

        Raises:
            RequestError: ``deadline_exceeded``.
        """
        if self.deadline is not None and self.deadline < now:
            raise RequestError("deadline_exceeded", "not executed: its deadline had passed")

    def prepare(self, reply: Any) -> None:
        """Encode the answer that `durable` will send."""
        self.payload = encode_reply(reply)

    def prepare_error(self, error: RequestError) -> None:
        """Encode an error as the answer that `durable` will send, and count it."""
        if self.tally is not None:
            self.tally.errors += self.headers is None  # once, also if another error follows
            self.tally.last_error = str(error)
        now = to_datetime(self.replies.now())
        self.payload = encode_reply(ErrorReply(error.body(self.key, now)))
        self.headers = error_headers(error)

    def durable(self) -> None:
        """Send the prepared answer: all that it reflects is durable."""
        if self.answered:
            return
        self.answered = True
        if self.reply_to:
            self.replies.send(self.reply_to, self.payload, self.headers)
        if self.owner is not None:
            self.owner.answered(self)

    def lost(self, *, unknown: bool) -> None:
        """Answer for a failed write that the prepared answer would have reflected."""
        if unknown and self.key is not None:
            self.refuse(
                RequestError("outcome_unknown", "the write failed; it may or may not be stored")
            )
        else:
            self.refuse(RequestError("unavailable", "not executed: behind a failed write"))

    def refuse(self, error: RequestError) -> None:
        """Answer with an error, at once."""
        if self.answered:
            return
        self.prepare_error(error)
        self.durable()
