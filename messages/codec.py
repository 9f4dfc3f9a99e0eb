"""The only place where bytes become types and back, with module-level encoders and decoders."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import lru_cache, partial
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, Final, get_args

import msgspec

from .clipping import clipped_track
from .cloudevents import is_structured, structured
from .errors import ERRORS, ErrorReply, InvalidRequest, RequestError
from .moments import MOMENTS, cut, may_be_finer
from .nesting import deep_field
from .quantities import number_text
from .refusals import UNREADABLE, clip, closest, refusal
from .scalars import ABSENT
from .stored.catalog import CatalogEvent
from .stored.detail import DETAIL_NAMES
from .stored.errors import UnreadableEvent
from .stored.events import (
    KIND,
    Event,
    PeriodRolled,
    Personal,
    UsageRecorded,
)
from .stored.names import USAGE_NAMES
from .stored.older import LONG_USAGE, decode_long_usage
from .units import MONEY_DECIMALS_MAX, parse_amount, round_amount
from .usage import Batch, Keyed, Track
from .verbs import BY_NAME, CATALOG_VERBS, VERBS, Command, Verb, opaque_field

BODY_BYTES_MAX: Final = 64 * 1024
BATCH_BYTES_MAX: Final = 512 * 1024
BATCH_EVENTS_MAX: Final = 1_000
BATCH_FIELD: Final = "events"
HINTS_MAX: Final = 16
"""Events of a batch of which is said what would have been right: to look for it takes long."""

_BATCH_DECODER: Final = msgspec.json.Decoder(Batch)
_TRACK_DECODER: Final = msgspec.json.Decoder(Track)
_TRACKS_DECODER: Final = msgspec.json.Decoder(list[Track])
_RAWS_DECODER: Final = msgspec.json.Decoder(list[msgspec.Raw])
_EVENTS: Final[dict[str, Any]] = {
    name: kind for kind, name in KIND.items() if kind not in get_args(CatalogEvent)
}
_EVENT_DECODERS: Final[dict[str, msgspec.json.Decoder[Event]]] = {
    name: msgspec.json.Decoder(kind) for name, kind in _EVENTS.items()
}
_USAGE: Final = KIND[UsageRecorded]
_ROLLED: Final = KIND[PeriodRolled]
_CLOSED: Final = '"closed":'
OPENINGS_KEPT: Final = 64
"""First periods that are known by their text: there is one for each plan and month."""
_CATALOG_EVENT_DECODERS: Final[dict[str, msgspec.json.Decoder[CatalogEvent]]] = {
    KIND[kind]: msgspec.json.Decoder(kind) for kind in get_args(CatalogEvent)
}
_KEY_DECODER: Final = msgspec.json.Decoder(Keyed)
_PERSONAL_DECODER: Final = msgspec.json.Decoder(Personal)
_UNREADABLE: Final = (AttributeError, KeyError, TypeError, ValueError, RecursionError)
"""What a damaged body raises: it may be of another type, too. A DecodeError is a ValueError."""
_TOO_DEEP: Final = deep_field(Track, "cost")
_ERROR_DECODER: Final = msgspec.json.Decoder(ErrorReply)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


Decode = Callable[[bytes], Command]
"""Decodes and checks the body of one verb; an empty body means ``{}``.

Raises:
    RequestError: ``unknown_verb``, ``too_large``, or ``invalid_request`` naming the field.
"""


def decoder_of(verb: str) -> Decode:
    """The decoder of a user's verb, or of the catalogue's, such as ``catalog.plans.list``."""

    def unknown(_: bytes) -> Command:
        raise unknown_verb(verb)

    return _DECODERS.get(verb) or _CATALOG_DECODERS.get(verb) or unknown


def decode_command(verb: str, body: bytes) -> Command:
    """Decode and check the body of one verb; see `Decode`."""
    if verb not in _DECODERS:
        raise unknown_verb(verb)
    return _DECODERS[verb](body)


def unknown_verb(verb: str) -> RequestError:
    """The error for what is no verb."""
    similar = closest(verb, BY_NAME)
    return RequestError("unknown_verb", f"there is no verb {clip(verb)!r}{similar}")


def _checking(verb: Verb, *, hint: bool = True) -> Decode:
    """The decoder of a verb, with its refusals, which have a hint or none."""
    kind: Any = verb.command
    decode: Decode = _batch if kind is Batch else msgspec.json.Decoder(kind).decode
    too_deep, is_track = deep_field(kind, opaque_field(verb)), kind is Track
    limit = BATCH_BYTES_MAX if kind is Batch else BODY_BYTES_MAX
    moments, absent = _moments_of(kind)

    def decode_body(body: bytes) -> Command:
        if len(body) > limit:
            raise RequestError("too_large", f"the body is over {limit} bytes")
        try:
            command = decode(body or b"{}")
            if moments(command) == absent or not may_be_finer(body):
                return command
            return decode(cut(body))
        except UNREADABLE as error:
            # What is finer than a microsecond may be all that is wrong: at the end of the year
            # 9999, if it is rounded out of time.
            if may_be_finer(body) and (whole := cut(body)) != body:
                return decode_body(whole)
            if not is_track:
                raise refusal(error, kind, too_deep(body)) from None
            if is_structured(body):
                return structured(body, partial(_track_in_data, hint=hint))
            return _clipped(body or b"{}", error, hint=hint)

    return decode_body


def _moments_of(kind: Any) -> tuple[Callable[[Command], object], object]:
    """What reads the times of a command, and what it reads if there are none."""
    names = [name for name in MOMENTS if name in kind.__struct_fields__]
    return attrgetter(*names), None if len(names) == 1 else (None,) * len(names)


def _track_in_data(body: bytes, *, hint: bool) -> Track:
    try:
        return _TRACK_DECODER.decode(body)
    except UNREADABLE as error:
        return _clipped(body, error, hint=hint)


def _clipped(body: bytes, error: Exception, *, hint: bool) -> Track:
    """A ``track`` that the strict decoder refuses, if no more than its side fields are wrong."""
    if isinstance(error, msgspec.ValidationError):
        try:
            return clipped_track(body)
        except UNREADABLE as still:
            # More is wrong than the side fields. What is nested too deep is what the strict
            # decoder has not looked into.
            refused = refusal(still, Track, None, hint=hint)
            if refused.field is None and isinstance(still, RecursionError):
                refused.field = refusal(error, Track, None, hint=False).field
            raise refused from None
    raise refusal(error, Track, _TOO_DEEP(body), hint=hint) from None


def _batch(body: bytes) -> Batch:
    batch = _BATCH_DECODER.decode(body)
    if bytes(batch.events)[:1] != b"[":
        raise msgspec.ValidationError(f"Expected `array` - at `$.{BATCH_FIELD}`")
    return batch


def decode_batch(batch: Batch) -> list[Track | RequestError]:
    """The events of a batch, or why one is refused; one bad event never fails the others.

    Raises:
        RequestError: ``too_large``: more than 1,000 events.
    """
    calls: list[Track | RequestError]
    try:
        # Nearly always all are good and plain: to take each apart by itself takes twice as long.
        plain = _TRACKS_DECODER.decode(batch.events)
        calls = [*plain]
        timed = any(call.timestamp is not None for call in plain)
        if any(call.deadline is not None for call in plain) or (
            timed and may_be_finer(bytes(batch.events))
        ):
            calls = _decode_each(batch)
    except UNREADABLE:
        calls = _decode_each(batch)
    if len(calls) > BATCH_EVENTS_MAX:
        raise RequestError(
            "too_large", f"a batch has at most {BATCH_EVENTS_MAX} events", field="events"
        )
    return calls


def _decode_each(batch: Batch) -> list[Track | RequestError]:
    try:
        events = _RAWS_DECODER.decode(batch.events)
    except UNREADABLE as error:
        raise refusal(error, Batch, "events") from None
    calls: list[Track | RequestError] = []
    refused = 0
    for event in events[: BATCH_EVENTS_MAX + 1]:
        calls.append(_decode_track(bytes(event), hint=refused < HINTS_MAX))
        refused += isinstance(calls[-1], RequestError)
    return calls


def _decode_track(body: bytes, *, hint: bool) -> Track | RequestError:
    try:
        call = _DECODERS["track"](body) if hint else _UNHINTED_TRACK(body)
        assert isinstance(call, Track)
        if call.deadline is not None:
            raise InvalidRequest("a batch has one deadline, at its top", "deadline")
    except RequestError as error:
        error.event_id = key_of(body)
        return error
    return call


def key_of(body: bytes) -> str | None:
    """The ``event_id`` of a body that may be wrong in every other way, None without one."""
    try:
        return _KEY_DECODER.decode(body).event_id
    except (ValueError, RecursionError):  # DecodeError is a ValueError
        return None


def money_of(raw: msgspec.Raw, field: str, decimals_max: int = MONEY_DECIMALS_MAX) -> int | None:
    """The nano-USD of a money field as it was sent, None if it is absent.

    With 12 for ``decimals_max`` it is a unit price, in pico-USD.

    Raises:
        InvalidRequest: not a number, negative, too large or too fine.
    """
    if raw is ABSENT:
        return None
    text = number_text(raw, field)
    if text is None:
        return None
    try:
        return parse_amount(Decimal(text), decimals_max)
    except InvalidOperation:  # an exponent that no decimal can hold
        raise InvalidRequest(f"{field} is out of range", field) from None
    except ValueError as error:
        raise InvalidRequest(f"{field} {error}", field) from None


def billed_of(raw: msgspec.Raw) -> tuple[int | None, bool]:
    """The nano-USD of the ``cost`` of a call, rounded half to even, and whether it was rounded.

    Raises:
        InvalidRequest: not a number, negative or too large, as it was sent.
    """
    text = None if raw is ABSENT else number_text(raw, "cost")
    if text is None:
        return None, False
    try:
        return round_amount(Decimal(text), MONEY_DECIMALS_MAX)
    except InvalidOperation:  # an exponent that no decimal can hold
        if "e-" in text.lower() and not text.startswith("-"):
            return 0, True
        raise InvalidRequest("cost is out of range", "cost") from None
    except ValueError as error:
        raise InvalidRequest(f"cost {error}", "cost") from None


_DECODERS: Final[dict[str, Decode]] = {verb.name: _checking(verb) for verb in VERBS}
_UNHINTED_TRACK: Final = _checking(BY_NAME["track"], hint=False)
_CATALOG_DECODERS: Final[dict[str, Decode]] = {verb.name: _checking(verb) for verb in CATALOG_VERBS}


def encode_reply(reply: Any) -> bytes:
    """A reply or error body as JSON; decimals become exact JSON numbers."""
    return _ENCODER.encode(reply)


quoted: Final[Callable[[str], str]] = encode_basestring
"""A text as a JSON string."""


def error_headers(error: RequestError) -> dict[str, str]:
    """The two headers that NATS services mark an error reply with."""
    return {
        "Nats-Service-Error": clip(error.message),
        "Nats-Service-Error-Code": str(ERRORS[error.code].number),
    }


def decode_error(body: bytes) -> RequestError:
    """The error of an error reply; whether it is retryable is what the reply says."""
    found = _ERROR_DECODER.decode(body).error
    return RequestError(
        found.code,
        found.message,
        field=found.field,
        retryable=found.retryable,
        retry_after=found.retry_after,
        event_id=found.event_id,
        error_id=found.error_id,
        now=found.now,
    )


def encode_event(event: Event | CatalogEvent | Personal) -> str:
    """The text of an event as the log keeps it."""
    return _ENCODER.encode(event).decode()


def decode_event(kind: str, body: str, seq: int | None = None) -> Event:
    """An event of a user's log.

    Args:
        kind: its kind.
        body: its text.
        seq: its position, for the error.

    Raises:
        UnreadableEvent: this version does not know the kind, or the text is not that of such an
            event.
    """
    try:
        if body.startswith(LONG_USAGE) and kind == _USAGE:
            return decode_long_usage(body)
        if kind == _ROLLED and _CLOSED not in body:
            return _opening(body)
        return _EVENT_DECODERS[kind].decode(body)
    except _UNREADABLE as error:
        raise _unreadable(kind, seq, error) from error


# Users who come to a plan in the same month begin with the same text, and each who is replayed
# begins with it. The event is frozen and holds nothing that is not: one is enough for all.
@lru_cache(maxsize=OPENINGS_KEPT)
def _opening(body: str) -> Event:
    """The event that opened a user's first period."""
    return _EVENT_DECODERS[_ROLLED].decode(body)


def usage_marks(field: str, value: str) -> tuple[str, str]:
    """What a stored call with this text in a field has in it: one of these, by its form.

    ``field`` is one that every stored call has.
    """
    text = quoted(value)
    return f'"{USAGE_NAMES[field]}":{text}', f'"{field}":{text}'


def detail_mark(field: str, value: str) -> str:
    """What a stored call with this text in a field of its detail has in it."""
    return f'"{DETAIL_NAMES[field]}":{quoted(value)}'


def decode_catalog_event(kind: str, body: str, seq: int | None = None) -> CatalogEvent:
    """An event of the catalogue's log; as `decode_event`."""
    try:
        return _CATALOG_EVENT_DECODERS[kind].decode(body)
    except _UNREADABLE as error:
        raise _unreadable(kind, seq, error) from error


def _unreadable(kind: str, seq: int | None, error: Exception) -> UnreadableEvent:
    unknown = isinstance(error, KeyError)
    return UnreadableEvent(kind, "an unknown kind" if unknown else str(error), seq)


def decode_personal(body: str | None) -> Personal | None:
    """The personal fields of a usage event, None if there are none or they were erased."""
    return None if body is None else _PERSONAL_DECODER.decode(body)
