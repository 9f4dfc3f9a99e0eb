"""The only place where bytes become types and back, with module-level encoders and decoders."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Any, Final

import msgspec
from msgspec.structs import fields

from messages.commands import ABSENT, COMMANDS, Command, Key
from messages.errors import ERRORS, ErrorReply, InvalidRequest, RequestError
from messages.events import KIND, Event, Personal
from messages.units import MONEY_DECIMALS_MAX, parse_amount

BODY_BYTES_MAX: Final = 64 * 1024

_FIELD_OF_OBJECT: Final = re.compile(
    r"^Object (?:contains unknown|missing required) field `(.*)`", re.DOTALL
)
_FIELD_OF_PATH: Final = re.compile(r" - at (?:`key` in )?`\$\.?([^.`\[]*)")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")

_COMMAND_DECODERS: Final = {verb: msgspec.json.Decoder(kind) for verb, kind in COMMANDS.items()}
# Only the text of a money field is taken whole, however deep it is nested.
_MONEY_FIELDS: Final = {
    verb: next((field.name for field in fields(kind) if field.type is msgspec.Raw), None)
    for verb, kind in COMMANDS.items()
}
_EVENT_DECODERS: Final = {name: msgspec.json.Decoder(kind) for kind, name in KIND.items()}


class _Keyed(msgspec.Struct):
    event_id: Key | None = None


_KEY_DECODER: Final = msgspec.json.Decoder(_Keyed)
_PERSONAL_DECODER: Final = msgspec.json.Decoder(Personal)
_ERROR_DECODER: Final = msgspec.json.Decoder(ErrorReply)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def decode_command(verb: str, body: bytes) -> Command:
    """Decode and check the body of one verb; an empty body means ``{}``.

    Raises:
        RequestError: ``unknown_verb``, ``too_large``, or ``invalid_request`` naming the field.
    """
    decoder = _COMMAND_DECODERS.get(verb)
    if decoder is None:
        raise RequestError("unknown_verb", f"there is no verb {clip(verb)!r}")
    if len(body) > BODY_BYTES_MAX:
        raise RequestError("too_large", f"the body is over {BODY_BYTES_MAX} bytes")
    try:
        return decoder.decode(body or b"{}")
    except msgspec.ValidationError as error:
        text = str(error)
        found = _FIELD_OF_OBJECT.search(text) or _FIELD_OF_PATH.search(text)
        raise InvalidRequest(clip(text), clip(found[1]) if found and found[1] else None) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"not JSON: {clip(str(error))}") from None
    except UnicodeDecodeError:
        raise InvalidRequest("not UTF-8") from None
    except RecursionError:
        raise InvalidRequest("nested too deep", _MONEY_FIELDS[verb]) from None


def key_of(body: bytes) -> str | None:
    """The ``event_id`` of a body that may be wrong in every other way, None without one."""
    try:
        return _KEY_DECODER.decode(body).event_id
    except (ValueError, RecursionError):  # DecodeError is a ValueError
        return None


def money_of(raw: msgspec.Raw, field: str) -> int | None:
    """The nano-USD of a money field as it was sent, None where it is absent.

    Raises:
        InvalidRequest: not a number, negative, too large or too fine.
    """
    if raw is ABSENT:
        return None
    text = bytes(raw)
    if text == b"null":
        return None
    if text[:1] not in b"-0123456789" or not text:
        raise InvalidRequest(f"Expected a number - at `$.{field}`", field)
    try:
        return parse_amount(Decimal(text.decode("ascii")), MONEY_DECIMALS_MAX)
    except InvalidOperation:  # an exponent that no decimal can hold
        raise InvalidRequest(f"{field} is out of range", field) from None
    except ValueError as error:
        raise InvalidRequest(f"{field} {error}", field) from None


def encode_reply(reply: Any) -> bytes:
    """A reply or error body as JSON; decimals become exact JSON numbers."""
    return _ENCODER.encode(reply)


def quoted(text: str) -> str:
    """A JSON string."""
    return encode_basestring(text)


def error_headers(error: RequestError) -> dict[str, str]:
    """The two headers that NATS services mark an error reply with."""
    return {
        "Nats-Service-Error": clip(error.message),
        "Nats-Service-Error-Code": str(ERRORS[error.code].number),
    }


def decode_error(body: bytes) -> RequestError:
    """The error of an error reply."""
    found = _ERROR_DECODER.decode(body).error
    return RequestError(
        found.code,
        found.message,
        field=found.field,
        retry_after=found.retry_after,
        event_id=found.event_id,
        error_id=found.error_id,
    )


def encode_event(event: Event | Personal) -> str:
    """The text of an event as the log keeps it."""
    return _ENCODER.encode(event).decode()


def decode_event(kind: str, body: str) -> Event:
    """An event of the log.

    Raises:
        KeyError: a kind that this version does not know.
        msgspec.DecodeError: the text is not that of such an event.
    """
    return _EVENT_DECODERS[kind].decode(body)


def decode_personal(body: str | None) -> Personal | None:
    """The personal fields of a usage event, None where there are none or they were erased."""
    return None if body is None else _PERSONAL_DECODER.decode(body)


def clip(text: str, length: int = 200) -> str:
    """Text that is safe in a header or a log line: printable ASCII, bounded."""
    return _UNPRINTABLE.sub("?", text[:length])
