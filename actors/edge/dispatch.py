"""The edge: bytes from NATS become requests for actors, or errors at once."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from actors.clock import Clock
from actors.runtime.request import Replies, Request, Tally
from messages.admission import Preflight
from messages.catalog import CATALOG_USER
from messages.cloudevents import with_headers
from messages.codec import Decode, decoder_of, key_of
from messages.errors import InvalidRequest, RequestError
from messages.refusals import clip
from messages.subjects import decode_user, partition_of, right_token
from messages.units import to_micros
from messages.usage import Track
from messages.verbs import BY_NAME, CATALOG_COMMANDS, COMMANDS, KEYED
from persistence.exhaustion import tell_if_exhausted

ROUTES_MAX: Final = 65_536
ROUTES_BYTES_MAX: Final = 32 * 1024 * 1024
"""At most this many routes are kept, of this many bytes. Only those of requests that can be valid
are, so that nobody pushes them out, or fills the memory, with invalid ones."""
ROUTE_BYTES: Final = 500
"""A route's bytes beside its texts, of which it has up to three."""
KEY_CHARACTERS_MAX: Final = 128
MISPLACED: Final = "the subject's partition is not that of the user"
QUIET_NS: Final = 60_000_000_000
"""How long after a line about such a subject others are counted only."""
WRONG_CHARACTERS_MAX: Final = 600
"""Room for why a token is refused, with the right one."""
OF_USER: Final = "of_user"
CATALOG: Final = "catalog"
OWN: Final = "own"
OTHER: Final = "other"
_STATUS: Final = b"NATS/1.0 "
"""How a block of headers with a status code begins; an ordinary block has no code."""
OWN_SUBJECTS: Final = frozenset({"alert", "event", "ctl"})

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """What a subject says.

    Attributes:
        kind: `OF_USER` for a verb and a user, `CATALOG`, `OWN` if the service itself
            publishes, or `OTHER`.
        verb: the verb, or all tokens after the prefix.
        tally: counts its requests.
        token: the user's token.
        user: the user id, empty if it cannot be read.
        wrong: why the user's part is refused.
        decode: takes the body.
        silent: whether it may be one that gets no answer.
        changes: whether the verb changes something.
    """

    kind: str
    verb: str
    tally: Tally
    token: str
    user: str
    wrong: str | None
    decode: Decode
    silent: bool
    changes: bool


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
        self._ticks = clock.ticks
        self.tallies = {verb: Tally() for verb in BY_NAME}
        self._other = Tally()
        self._routes: dict[bytes, Route] = {}
        self._routes_bytes = 0
        self._quiet_until = self._untold = 0

    def deliver(self, subject: bytes, reply_to: bytes, payload: bytes, headers: bytes) -> None:
        """Take one message; every request gets its answer from here or from its actor."""
        if headers and not payload and headers.startswith(_STATUS) and headers[9:12].isdigit():
            return  # the server's own word, such as that a consumer has nothing: no request
        started = self._ticks()
        route = self._routes.get(subject) or self._resolve(subject)
        if route.silent and (route.kind is OWN or not reply_to):
            return  # what the service itself publishes is no request
        tally = route.tally
        tally.requests += 1
        request = Request(route.user, route.token, None, reply_to, self._replies, tally)
        try:
            self._fill(request, route, payload, headers)
            self._dispatch(request)
        except RequestError as error:
            request.refuse(error)
        except Exception as error:  # noqa: BLE001 -- nothing that arrives may end the read loop
            tell_if_exhausted(error)
            error_id = secrets.token_hex(8)
            _log.exception("edge_failed", subject=clip(repr(subject)), error_id=error_id)
            why = f"a defect; error id {error_id}"
            request.refuse(RequestError("internal", why, error_id=error_id))
        tally.processing_ns += self._ticks() - started

    def route_of(self, subject: bytes) -> Route:
        """What a subject says."""
        return self._routes.get(subject) or self._resolve(subject)

    def _fill(self, request: Request, route: Route, payload: bytes, headers: bytes) -> None:
        try:
            command = route.decode(payload)
            if headers and isinstance(command, Track):
                command = with_headers(command, headers)
            request.command = command
        except RequestError:
            if route.changes:  # for the error, if the rest of the body has one
                request.key = key_of(payload) or _message_id(headers)
            raise
        if route.changes and not (type(command) is Preflight and command.hold is None):
            key = command.event_id  # type: ignore[attr-defined]  # it takes a key, so it has one
            if key is None:
                key = _message_id(headers)
            if key is None:
                # Nobody can guess a key and use it before it is made.
                key = secrets.token_hex(16)
            request.key = key
        if route.wrong is not None:
            if route.wrong == MISPLACED:
                self._tell_misplaced(route.user)
            raise RequestError("invalid_user", route.wrong)
        if command.deadline is not None:
            request.deadline = to_micros(command.deadline)

    def _tell_misplaced(self, user: str) -> None:
        """Say that somebody goes past the mapping; others of the next minute are counted."""
        now = self._ticks()
        if now < self._quiet_until:
            self._untold += 1
            return
        _log.warning("partition_refused", user=user, untold=self._untold)
        self._quiet_until, self._untold = now + QUIET_NS, 0

    def _resolve(self, subject: bytes) -> Route:
        """Take a subject apart; most come again and again."""
        # Bytes that are not UTF-8 become surrogates, which no valid token has.
        tokens = subject.decode("utf-8", "surrogateescape")[self._skip :].split(".")
        partition, kind = None, OF_USER
        if len(tokens) == 4 and tokens[0] == "p":
            _, partition, name, token = tokens
        elif len(tokens) == 2:
            name, token = tokens
        elif tokens[0] in COMMANDS:  # a user id that was not encoded, or none
            name, token = tokens[0], ".".join(tokens[1:])
        elif len(tokens) > 2 and tokens[0] == "p" and tokens[2] in COMMANDS:
            name, token = tokens[2], ".".join(tokens[3:])
        else:
            name, token, kind = ".".join(tokens), "", OWN if tokens[0] in OWN_SUBJECTS else OTHER
            kind = CATALOG if name in CATALOG_COMMANDS else kind
        user = CATALOG_USER
        wrong: str | None = None
        if kind is not CATALOG:
            try:
                user = decode_user(token)
                if partition is not None and partition != str(partition_of(token)):
                    wrong = MISPLACED
            except ValueError as error:
                wrong = clip(f"{error}{right_token(token)}", WRONG_CHARACTERS_MAX)
        tally = self.tallies.get(name, self._other)
        route = Route(
            kind,
            name,
            tally,
            token,
            user,
            wrong,
            decoder_of(name),
            silent=kind in {OWN, OTHER},
            changes=name in KEYED,
        )
        if wrong is None and name in self.tallies:
            self._keep(subject, route)
        return route

    def _keep(self, subject: bytes, route: Route) -> None:
        size = ROUTE_BYTES + 3 * len(subject)
        if len(self._routes) >= ROUTES_MAX or self._routes_bytes + size > ROUTES_BYTES_MAX:
            self._routes.clear()  # an order of use would cost every message more than this
            self._routes_bytes = 0
        self._routes[subject] = route
        self._routes_bytes += size


def _message_id(headers: bytes) -> str | None:
    """The ``Nats-Msg-Id`` of a raw header block, None if it has none.

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
