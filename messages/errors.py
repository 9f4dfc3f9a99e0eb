"""The error table of the wire, and the exceptions of the layer that speaks it.

MeterdError
├── RequestError       the service answered with a code of the table
│   └── InvalidRequest    invalid_request, naming the field
├── NoService          nobody answered within the budget; not executed
│   └── NotPermitted      the NATS server does not let the caller ask
└── NoAnswer           no reply within the budget; a change may have happened
    └── AnswerBlocked     no reply can arrive, whatever time it gets
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct


class ErrorCode(Struct, frozen=True):
    """One row of the table: the code's number, whether a retry may help, its meaning.

    An error may say of itself that a retry does not help: see `RequestError`.
    """

    number: int
    retryable: bool
    meaning: str


ERRORS: Final[dict[str, ErrorCode]] = {
    "invalid_request": ErrorCode(
        400, False, "not JSON, unknown, missing or ill-typed field, value out of range"
    ),
    "invalid_user": ErrorCode(
        400, False, "the subject's user token is not the encoding of a user id"
    ),
    "unknown_verb": ErrorCode(404, False, "no such verb"),
    "unknown_provider": ErrorCode(404, False, "no such provider"),
    "unknown_unit": ErrorCode(404, False, "no such unit, or one that is archived"),
    "unknown_plan": ErrorCode(404, False, "no such plan"),
    "unknown_price": ErrorCode(404, False, "no such price"),
    "unknown_hold": ErrorCode(404, False, "no such open hold"),
    "unknown_alert": ErrorCode(404, False, "no such alert"),
    "unknown_period": ErrorCode(404, False, "no such billing period"),
    "idempotency_mismatch": ErrorCode(409, False, "same event_id, other content"),
    "too_large": ErrorCode(413, False, "the body is over its size"),
    "timestamp_out_of_range": ErrorCode(
        422, False, "more than 5 minutes ahead, or more than 35 days old"
    ),
    "overloaded": ErrorCode(503, True, "not executed: too many requests wait"),
    "unavailable": ErrorCode(
        503,
        True,
        "not executed: starting, draining, not this user's owner, behind a failed write; "
        "not retryable if stored bytes are damaged",
    ),
    "deadline_exceeded": ErrorCode(504, True, "not executed: its deadline had passed"),
    "outcome_unknown": ErrorCode(
        500, True, "a change whose write failed; it may or may not be stored"
    ),
    "internal": ErrorCode(500, False, "a defect; the log line has the same error_id"),
}


class ErrorBody(Struct, frozen=True, kw_only=True):
    """What an error reply says; ``retry_after`` is in seconds, ``now`` the service's time."""

    code: str
    message: str
    field: str | None = None
    retryable: bool = False
    retry_after: float | None = None
    event_id: str | None = None
    error_id: str | None = None
    now: datetime | None = None


class ErrorReply(Struct, frozen=True):
    """The body of an error reply."""

    error: ErrorBody


class MeterdError(Exception):
    """The root of every error that a caller of meterd sees."""


class RequestError(MeterdError):
    """The service answers with a code of the table.

    Raised inside the service by the rules, and by the client for an error reply. ``now`` is the
    service's time as of the reply, None for an error that is not the service's.

    Attributes:
        retryable: whether the same request may succeed later: what the table says of the code,
            unless the error says otherwise.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        event_id: str | None = None,
        error_id: str | None = None,
        now: datetime | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        row = ERRORS.get(code)
        usual = row is not None and row.retryable
        self.code = code
        self.message = message
        self.field = field
        self.retryable = usual if retryable is None else retryable
        self.retry_after = retry_after
        self.event_id = event_id
        self.error_id = error_id
        self.now = now

    def body(self, event_id: str | None = None, now: datetime | None = None) -> ErrorBody:
        """The error as the wire carries it, with the time ``now``."""
        return ErrorBody(
            code=self.code,
            message=self.message,
            field=self.field,
            retryable=self.retryable,
            retry_after=self.retry_after,
            event_id=self.event_id or event_id,
            error_id=self.error_id,
            now=now or self.now,
        )


class InvalidRequest(RequestError):
    """``invalid_request`` for one field."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__("invalid_request", message, field=field)


class NoService(MeterdError):
    """Nobody answers the subject: the request was not executed."""


class NoAnswer(MeterdError):
    """No reply came within the budget: a change may or may not have happened.

    Repeat it with the same ``event_id`` to learn which.
    """

    def __init__(self, message: str, event_id: str | None = None) -> None:
        super().__init__(message)
        self.event_id = event_id


class NotPermitted(NoService):
    """The NATS server does not let this caller use a subject: the request was not executed.

    Attributes:
        subject: which it is.
    """

    def __init__(self, subject: str, message: str = "") -> None:
        super().__init__(
            message or f"the NATS server does not let this caller publish on {subject}"
        )
        self.subject = subject


class AnswerBlocked(NoAnswer):
    """The answer cannot arrive: a change may or may not have happened.

    The server does not let the caller listen for it, or a stream answers first.
    """
