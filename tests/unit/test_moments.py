"""What is finer than a microsecond is cut off, never rounded up: contract, section 2."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from messages.codec import decode_batch, decode_command, decoder_of
from messages.errors import RequestError
from messages.moments import MOMENTS, may_be_finer
from messages.usage import Batch, Track
from messages.verbs import CATALOG_VERBS, VERBS
from tests.support.bounds import REQUIRED
from tests.support.meter import Meter, micros

END = "2026-12-31T23:59:59.999999"
WHOLE = datetime.fromisoformat(END + "+00:00")
MICRO = micros("2026-12-31T23:59:59.999999Z")
FINER = ("5Z", "999999999Z", "99z", "5+00:00")
BOUNDS = frozenset({"since", "until"})
ESCAPED = r"2026-12-31T23:59:59\u002e999999\u0035Z"


def texts() -> list[str]:
    return [END + rest for rest in FINER]


def fields() -> list[tuple[str, str]]:
    """Every field of every verb that is a time."""
    found = []
    for verb in (*VERBS, *CATALOG_VERBS):
        hints = verb.command.__annotations__
        for base in verb.command.__mro__:
            hints = {**getattr(base, "__annotations__", {}), **hints}
        found += [(verb.name, name) for name, hint in hints.items() if "Moment" in str(hint)]
    return found


def taken(verb: str, **more: Any) -> Any:
    known = {entry.name: dict(entry.least) for entry in CATALOG_VERBS} | REQUIRED
    return decoder_of(verb)(json.dumps({**known[verb], **more}).encode())


def test_every_time_of_a_command_is_known() -> None:
    assert {name for _, name in fields()} == set(MOMENTS)


@pytest.mark.parametrize(("verb", "name"), fields())
@pytest.mark.parametrize("text", texts())
def test_fractions_of_a_microsecond_are_cut_off(verb: str, name: str, text: str) -> None:
    found = getattr(taken(verb, **{name: text}), name)
    if name in BOUNDS:
        assert micros(found.isoformat()) == MICRO + 1
    else:
        assert found == WHOLE


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_a_bound_that_is_a_whole_microsecond_stays(name: str) -> None:
    for text in (END + "Z", END + "000Z"):
        assert getattr(taken("logs", **{name: text}), name) == WHOLE


def test_digits_that_are_escaped_are_cut_off_too() -> None:
    body = b'{"provider":"gemini","timestamp":"%b"}' % ESCAPED.encode()
    assert decode_command("track", body).timestamp == WHOLE  # type: ignore[attr-defined]


def test_the_end_of_time_is_cut_off_and_not_refused() -> None:
    last = taken("logs", until="9999-12-31T23:59:59.9999999Z").until
    assert last == datetime.fromisoformat("9999-12-31T23:59:59.999999+00:00")


def test_a_cloud_event_is_cut_in_its_envelope_and_in_its_data() -> None:
    event = {"specversion": "1.0", "id": "a", "source": "s", "type": "t", "time": END + "5Z"}
    for data in ({"provider": "gemini"}, {"provider": "gemini", "timestamp": END + "5Z"}):
        body = json.dumps({**event, "data": data}).encode()
        assert decode_command("track", body).timestamp == WHOLE  # type: ignore[attr-defined]


def test_the_events_of_a_batch_are_cut() -> None:
    plain = {"provider": "gemini", "timestamp": END + "5Z"}
    cloud = {"specversion": "1.0", "id": "a", "source": "s", "type": "t", "time": END + "5Z"}
    for events in ([plain], [{"provider": "gemini"}, plain], [{**cloud, "data": plain}, plain]):
        batch = decode_command("batch", json.dumps({"events": events}).encode())
        assert isinstance(batch, Batch)
        calls = [call for call in decode_batch(batch) if isinstance(call, Track)]
        assert len(calls) == len(events)
        assert {call.timestamp for call in calls} <= {None, WHOLE}
        assert calls[-1].timestamp == WHOLE


def test_other_fields_stay_as_they_were_sent() -> None:
    text = END + "5Z"
    call = taken("track", error_message=text, metadata={"timestamp": text}, timestamp=text)
    assert (call.error_message, call.metadata) == (text, {"timestamp": text})
    body = b'{"provider":"gemini","timestamp":"%b5Z","cost":0.10,"cost":1e-9}' % END.encode()
    assert bytes(decode_command("track", body).cost) == b"1e-9"  # type: ignore[attr-defined]


def test_an_invalid_body_has_the_same_error_with_and_without_such_a_time() -> None:
    for body in (
        b'{"timestamp":"%b5Z"}',
        b'{"provider":1,"timestamp":"%b5Z"}',
        b'{"timestamp":"%b5Z"',
    ):
        with pytest.raises(RequestError) as finer:
            decode_command("track", body % END.encode())
        with pytest.raises(RequestError) as whole:
            decode_command("track", body.replace(b"5Z", b"Z") % END.encode())
        assert (finer.value.code, finer.value.field) == (whole.value.code, whole.value.field)


def test_a_body_without_such_a_time_is_not_taken_apart() -> None:
    assert not may_be_finer(b'{"response_time":1.2345678901234,"deadline":"%bZ"}' % END.encode())


def test_a_call_just_before_the_end_of_a_period_counts_in_it() -> None:
    meter = Meter(at=micros("2026-12-31T12:00:00Z"))
    meter.track("gemini")
    meter.at = micros("2027-01-01T00:02:00Z")
    reply = meter.track("gemini", timestamp=END + "5Z")
    assert (reply.billing_period, reply.late) == ("2026-12", True)
    shown = meter.usage[-1]
    assert shown.timestamp == MICRO
