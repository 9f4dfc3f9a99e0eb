"""Side fields never cost a call: contract 1.1, section 5."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import asdict

from messages.codec import (
    BATCH_EVENTS_MAX,
    BODY_BYTES_MAX,
    billed_of,
    decode_batch,
    decode_command,
    decode_personal,
)
from messages.errors import InvalidRequest
from messages.usage import SIDE_FIELDS, Batch, ConvertedTrack, Track
from tests.support.meter import Meter
from tests.support.turns import instructions

WIDE = "\U0001f600"  # four bytes, one code point
LENGTHS = {
    "endpoint": 1_024,
    "method": 256,
    "user_agent": 256,
    "ip_address": 256,
    "error_message": 4_096,
}
STRICT = msgspec.json.Decoder(Track)


def sent(fields: dict[str, Any] | str) -> Track:
    text = fields if isinstance(fields, str) else json.dumps({"provider": "exa", **fields})
    return cast("Track", decode_command("track", text.encode()))


def clipped(call: Track) -> tuple[str, ...]:
    return call.clipped if isinstance(call, ConvertedTrack) else ()


def metadata(text: str) -> dict[str, str] | None:
    return sent(f'{{"provider":"exa","metadata":{text}}}').metadata


@pytest.mark.parametrize(("field", "length"), LENGTHS.items())
@pytest.mark.parametrize("letter", ["a", WIDE])
def test_a_side_text_is_cut_to_its_bound_in_code_points_and_named(
    field: str, length: int, letter: str
) -> None:
    fits = sent({field: letter * length})
    assert (getattr(fits, field), type(fits)) == (letter * length, Track)
    cut = sent({field: letter * (length + 1)})
    assert (getattr(cut, field), clipped(cut)) == (letter * length, (field,))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"a":1,"b":true,"c":false}', {"a": "1", "b": "true", "c": "false"}),
        ('{"a": 1.50 , "b":-0.0e+10}', {"a": "1.50", "b": "-0.0e+10"}),
        ('{"a":%s}' % ("9" * 6_000), {"a": "9" * 256}),
        ('{"a":[1, {"b": null}],"c":{ }}', {"a": '[1, {"b": null}]', "c": "{ }"}),
        ('{"a":null,"b":"null"}', {"b": "null"}),
        ('{"a":null}', {}),
        ('{"a":"x","a":null}', {}),
        ('{"a":"\\u00e9\\n","b":1}', {"a": "é\n", "b": "1"}),
        ('{ "a" : "1" , "b" :\t2\n}', {"a": "1", "b": "2"}),
        ('{"%s":"v"}' % ("k" * 65), {"k" * 64: "v"}),
        ('{"k":"%s"}' % (WIDE * 257), {"k": WIDE * 256}),
    ],
)
def test_metadata_that_are_no_text_become_text_as_they_were_sent(
    text: str, kept: dict[str, str]
) -> None:
    assert metadata(text) == kept
    assert clipped(sent(f'{{"provider":"exa","metadata":{text}}}')) == ("metadata",)


def test_of_keys_that_are_equal_once_cut_the_last_stays_wherever_the_first_came() -> None:
    long, other = "k" * 64 + "x", "k" * 64 + "y"
    assert metadata(f'{{"{long}":"1","{other}":"2"}}') == {"k" * 64: "2"}
    assert metadata(f'{{"{long}":"1","{other}":"2","{long}":"3"}}') == {"k" * 64: "3"}
    assert metadata(f'{{"{long}":"1","{"k" * 64}":null}}') == {}


def test_the_first_16_keys_by_their_bytes_stay_of_those_that_are_not_null() -> None:
    keys = [f"{n:02}" for n in range(20)]
    pairs = {key: None if key < "02" else key for key in reversed(keys)}
    assert metadata(json.dumps(pairs)) == {key: key for key in keys[2:18]}
    # By UTF-16, as some languages sort, U+FFFD would come after U+10000.
    wide = {"\uffff": "a", "\U00010000": "b", **{str(n): "x" for n in range(10, 25)}}
    assert set(metadata(json.dumps(wide, ensure_ascii=False)) or ()) == {
        *(str(n) for n in range(10, 25)),
        "\uffff",
    }


@pytest.mark.parametrize(
    "fields",
    [
        *({"user_agent": 1}, {"endpoint": []}, {"metadata": []}, {"metadata": "x"}),
        *({"metadata": 1}, {"model_used": "m" * 257}, {"hold_id": "h" * 257}),
        *({"tokens_input": -1}, {"status_code": 99}, {"nonsense": 1}, {"event_id": "k" * 129}),
    ],
)
def test_fields_that_count_or_price_stay_strict_and_so_do_wrong_types(
    fields: dict[str, Any],
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent({"error_message": "e" * 5_000, **fields})
    assert caught.value.field == next(iter(fields))


@pytest.mark.parametrize("text", ['{"a":"\\ud800","b":1}', '{"\\udc00":1}', '{"a":"\\ud800"}'])
def test_half_a_surrogate_pair_in_metadata_is_refused_as_everywhere(text: str) -> None:
    with pytest.raises(InvalidRequest):
        metadata(text)


@pytest.mark.parametrize(
    ("text", "nano", "rounded"),
    [
        ("0.0000000015", 2, True),
        ("0.0000000025", 2, True),
        ("0.00000000250000000000000000000000000001", 3, True),
        ("1e-10", 0, True),
        ("1e-999999999999", 0, True),
        ("1e-9999999999999999999", 0, True),
        ("0." + "9" * 60_000, 10**9, True),
        ("1.0000000000", 10**9, False),
        ("0.1", 10**8, False),
        ("999999.9999999999", 10**15, True),
        ("0", 0, False),
        ("null", None, False),
    ],
)
def test_a_cost_is_rounded_half_to_even_to_a_billionth(
    text: str, nano: int | None, *, rounded: bool
) -> None:
    assert billed_of(msgspec.Raw(text.encode())) == (nano, rounded)


@pytest.mark.parametrize(
    "text",
    [
        "-1e-10",
        "1000000.0000000001",
        "1e7",
        '"1"',
        "1e9999999999999999999",
        "-1e-99999999999999999999",
    ],
)
def test_a_cost_is_in_its_range_as_it_was_sent(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        billed_of(msgspec.Raw(text.encode()))
    assert caught.value.field == "cost"


def test_the_reply_names_what_was_clipped_in_one_order_and_the_log_keeps_what_was_cut() -> None:
    meter = Meter()
    body = {
        "metadata": {"n": 1, "gone": None},
        "cost": Decimal("0.0000000015"),
        "user_agent": "u" * 300,
        "error_message": "e" * 5_000,
    }
    reply = meter.track("exa", **body)
    assert reply.clipped == ("user_agent", "error_message", "cost", "metadata")
    assert [name for name in SIDE_FIELDS if name in reply.clipped] == list(reply.clipped)
    assert reply.cost == Decimal("2e-9")
    about = decode_personal(meter.log[-1].personal)
    assert about is not None
    assert (about.user_agent, about.metadata) == ("u" * 256, {"n": "1"})
    assert meter.track("exa").clipped == ()


def test_the_actual_provider_is_found_by_what_is_left_of_the_endpoint() -> None:
    meter = Meter()
    seen = meter.track("video", model_used="x", endpoint="/" + "a" * 1_000 + "openai")
    cut = meter.track("video", model_used="x", endpoint="/" + "a" * 1_030 + "openai")
    assert (seen.actual_provider_name, cut.actual_provider_name) == ("openai", "wavespeed")


def test_in_a_batch_each_event_is_clipped_by_itself() -> None:
    events = [
        {"provider": "exa"},
        {"provider": "exa", "method": "m" * 300},
        {"provider": "x" * 300},
    ]
    calls = decode_batch(Batch(events=msgspec.Raw(json.dumps(events).encode())))
    assert [isinstance(call, Track) and clipped(call) for call in calls] == [(), ("method",), False]
    assert len(events) < BATCH_EVENTS_MAX


def test_a_body_of_64_kib_of_metadata_is_clipped() -> None:
    pairs = ",".join(f'"{n}":[{n}]' for n in range(4_000))
    body = f'{{"provider":"exa","metadata":{{{pairs}}}}}'
    assert 50_000 < len(body) <= BODY_BYTES_MAX
    assert len(sent(body).metadata or ()) == 16


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
long_texts = st.none() | st.text() | st.text(min_size=1).map(lambda text: (text * 4_500)[:4_500])
side_fields = st.fixed_dictionaries(
    {"provider": st.just("exa")},
    optional={
        **dict.fromkeys(LENGTHS, long_texts),
        "metadata": st.none()
        | st.dictionaries(st.text(max_size=80), json_values, max_size=20)
        | st.dictionaries(st.text(max_size=80), st.text(max_size=300), max_size=20),
    },
)


@given(side_fields)
def test_the_clipped_form_is_one_that_the_strict_decoder_takes_as_it_is(
    fields: dict[str, Any],
) -> None:
    body = json.dumps(fields, ensure_ascii=False).encode()
    assume(len(body) <= BODY_BYTES_MAX)
    call = cast("Track", decode_command("track", body))
    plain = {name: value for name, value in asdict(call).items() if name in Track.__struct_fields__}
    again = STRICT.decode(msgspec.json.encode(plain))
    assert asdict(again) == plain
    taken = {name: getattr(call, name) for name in fields}
    unchanged = {name for name in fields if taken[name] == fields[name]}
    assert {*clipped(call)} == fields.keys() - unchanged


@pytest.mark.parametrize("last", ["", f'"{"k" * 64}x":1,"{"k" * 64}y":2,'])
def test_as_many_pairs_as_a_body_holds_are_looked_at_quickly(last: str) -> None:
    """In a batch there may be eight such bodies, in one turn of the loop."""
    count = 5_900
    pairs = ",".join(f'"{number:04x}":1' for number in range(count))
    body = f'{{"provider":"exa","metadata":{{{last}{pairs}}}}}'.encode()
    assert len(body) < BODY_BYTES_MAX
    taken = instructions(lambda: decode_command("track", body))
    assert taken < 90 * count
