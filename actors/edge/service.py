"""The edge: bytes from NATS become requests for actors, or errors at once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import structlog

from actors.clock import Clock
from actors.runtime.request import Replies, Request, Tally
from messages.codec import clip, decode_command, key_of
from messages.commands import CHANGES, COMMANDS
from messages.errors import InvalidRequest, RequestError
from messages.subjects import decode_user, partition_of
from messages.units import to_micros

KEY_CHARACTERS_MAX: Final = 128
OWN_SUBJECTS: Final = frozenset({"alert", "event", "ctl"})

_log = structlog.get_logger(__name__)


class Edge:
    """Decodes, bounds and routes what arrives below the prefix.

    Args:
        prefix: what every subject starts with.
        dispatch: takes a request.
        replies: where answers leave.
        clock: for the figures of discovery.
    """

    def __init__(
        self,
        prefix: str,
        dispatch: Callable[[Request], None],
        replies: Replies,
        clock: Clock,
    ) -> None:
        self._skip = len(prefix) + 1
        self._dispatch = dispatch
        self._replies = replies
        self._clock = clock
        self.tallies = {verb: Tally() for verb in COMMANDS}
        self._other = Tally()

    def deliver(self, subject: str, reply_to: str, payload: bytes, headers: bytes) -> None:
        """Take one message; every request gets its answer from here or from its actor."""
        started = self._clock.ticks()
        tokens = subject[self._skip :].split(".")
        partition = None
        if len(tokens) == 4 and tokens[0] == "p":
            _, partition, verb, token = tokens
        elif len(tokens) == 2:
            verb, token = tokens
        elif not reply_to or tokens[0] in OWN_SUBJECTS:
            return  # what the service itself publishes is no request
        else:
            verb, token = ".".join(tokens), ""
        tally = self.tallies.get(verb, self._other)
        tally.requests += 1
        request = Request("", token, None, reply_to, self._replies)
        request.tally = tally
        try:
            self._fill(request, verb, token, partition, payload, headers)
            self._dispatch(request)
        except RequestError as error:
            request.refuse(error)
        except Exception:  # noqa: BLE001 -- nothing that arrives may end the read loop
            error_id = secrets.token_hex(8)
            _log.exception("edge_failed", subject=clip(subject), error_id=error_id)
            why = f"a defect; error id {error_id}"
            request.refuse(RequestError("internal", why, error_id=error_id))
        tally.processing_ns += self._clock.ticks() - started

    def _fill(
        self,
        request: Request,
        verb: str,
        token: str,
        partition: str | None,
        payload: bytes,
        headers: bytes,
    ) -> None:
        try:
            command = decode_command(verb, payload)
        except RequestError:
            if verb in CHANGES:  # for the error, where the rest of the body has one
                request.key = key_of(payload) or _message_id(headers)
            raise
        if verb in CHANGES:
            key = command.event_id or _message_id(headers)  # type: ignore[union-attr]
            request.key_is_new = key is None
            # Nobody can guess a key and use it before it is made.
            request.key = key or secrets.token_hex(16)
        request.user, home = _user_of(token)
        if partition is not None and partition != home:
            raise RequestError("invalid_user", "the subject's partition is not that of the user")
        request.command = command
        if command.deadline is not None:
            request.deadline = to_micros(command.deadline)


@lru_cache(maxsize=65_536)
def _user_of(token: str) -> tuple[str, str]:
    """The user of a token, and the partition token that its requests come on."""
    try:
        return decode_user(token), str(partition_of(token))
    except ValueError as error:
        raise RequestError("invalid_user", clip(str(error))) from None


def _message_id(headers: bytes) -> str | None:
    """The ``Nats-Msg-Id`` of a raw header block, None where it has none.

    Raises:
        InvalidRequest: it cannot be an idempotency key.
    """
    if not headers:
        return None
    for line in headers.split(b"\r\n"):
        name, found, value = line.partition(b":")
        if found and name == b"Nats-Msg-Id":
            try:
                key = value.strip().decode()
            except UnicodeDecodeError:
                key = ""
            if not 1 <= len(key) <= KEY_CHARACTERS_MAX:
                raise InvalidRequest(
                    f"the header Nats-Msg-Id has 1 to {KEY_CHARACTERS_MAX} characters", "event_id"
                )
            return key
    return None
