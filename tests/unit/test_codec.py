from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.codec import (
    BODY_BYTES_MAX,
    decode_command,
    decoder_of,
    encode_reply,
    money_of,
)
from messages.errors import InvalidRequest, RequestError
from messages.verbs import BY_NAME, COMMANDS
from tests.support.bounds import (
    BOUNDS,
    COUNT,
    FIELDS,
    MONEY,
    REQUIRED,
    SIZE,
    STATUS,
    TOKENS,
    UNITS,
)


def body(verb: str, **fields: Any) -> bytes:
    return json.dumps({**REQUIRED[verb], **fields}, ensure_ascii=False).encode()


def refusal(verb: str, raw: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decode_command(verb, raw)
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()
    return caught.value


def money(verb: str, field: str, raw: bytes) -> int | None:
    return money_of(getattr(decode_command(verb, raw), field), field)


def test_the_tables_below_name_every_verb_and_every_field() -> None:
    known = {(verb, f) for verb, kind in COMMANDS.items() for f in kind.__struct_fields__}
    assert {*FIELDS, *MONEY} == known


@pytest.mark.parametrize(("verb", "field"), FIELDS)
def test_a_value_at_its_bound_is_taken_as_it_was_sent(verb: str, field: str) -> None:
    for value in BOUNDS[verb][field][0]:
        taken = getattr(decode_command(verb, body(verb, **{field: value})), field)
        if isinstance(taken, datetime):
            assert taken == datetime.fromisoformat(value)
        elif isinstance(taken, msgspec.Raw):
            assert json.loads(bytes(taken)) == json.loads(json.dumps(value))
        elif UNITS is BOUNDS[verb][field]:
            assert {name: json.loads(bytes(raw)) for name, raw in taken.items()} == value
        else:
            assert taken == value


@pytest.mark.parametrize(("verb", "field"), FIELDS)
def test_a_value_over_its_bound_or_of_another_type_is_refused_by_its_field(
    verb: str, field: str
) -> None:
    for value in BOUNDS[verb][field][1]:
        assert refusal(verb, body(verb, **{field: value})).field == field, value


@pytest.mark.parametrize(("verb", "field"), [*FIELDS, *MONEY])
def test_null_is_the_same_as_leaving_an_optional_field_out(verb: str, field: str) -> None:
    if field in REQUIRED[verb]:
        assert refusal(verb, body(verb, **{field: None})).field == field
    elif (verb, field) in MONEY:
        assert money(verb, field, body(verb, **{field: None})) is None
        assert money(verb, field, body(verb)) is None
    else:
        assert decode_command(verb, body(verb, **{field: None})) == decode_command(verb, body(verb))


@pytest.mark.parametrize(("verb", "field"), [*FIELDS, *MONEY])
def test_an_integer_is_not_written_with_a_point_an_exponent_or_as_true(
    verb: str, field: str
) -> None:
    if BOUNDS[verb].get(field) not in (TOKENS, COUNT, SIZE, STATUS):
        return
    for text in (b"200.0", b"2e2", b"2E2", b"true", b'"200"', b"200.5"):
        raw = body(verb, **{field: 200}).replace(b": 200", b": " + text)
        assert refusal(verb, raw).field == field


@pytest.mark.parametrize("verb", ["track", "enforce"])
def test_a_missing_required_field_is_named(verb: str) -> None:
    assert refusal(verb, b"{}").field == "provider"
    assert refusal(verb, b"").field == "provider"


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("field", ["nonsense", "Provider", "user_id", "a.b", "a`b", "$", "x" * 150])
def test_an_unknown_field_is_named(verb: str, field: str) -> None:
    assert refusal(verb, body(verb, **{field: 1})).field == field


@pytest.mark.parametrize("verb", ["reset", "stats", "logs"])
def test_an_empty_body_means_an_empty_object(verb: str) -> None:
    assert decode_command(verb, b"") == decode_command(verb, b"{}")


def test_of_a_key_that_is_given_twice_the_last_counts() -> None:
    raw = b'{"provider":"a","tokens_input":1,"provider":"b","tokens_input":2,"cost":1,"cost":0.5}'
    call: Any = decode_command("track", raw)
    assert (call.provider, call.tokens_input) == ("b", 2)
    assert money_of(call.cost, "cost") == 500_000_000
    raw = b'{"provider":"a","tokens_input":1,"tokens_input":null,"metadata":{"k":"1","k":"2"}}'
    call = decode_command("track", raw)
    assert (call.tokens_input, call.metadata) == (None, {"k": "2"})


def test_an_escaped_key_is_the_key() -> None:
    call: Any = decode_command("track", rb'{"\u0070rovider":"openai"}')
    assert call.provider == "openai"


def test_an_offset_is_taken_into_account() -> None:
    call: Any = decode_command("track", body("track", timestamp="2026-03-15T12:00:00+05:30"))
    assert call.timestamp == datetime(2026, 3, 15, 6, 30, tzinfo=UTC)
    assert call.timestamp == datetime(2026, 3, 15, 12, tzinfo=timezone(timedelta(hours=5.5)))


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize(
    "raw", [b"[]", b"null", b'"x"', b"5", b"true", b"[" * 5_000 + b"]" * 5_000]
)
def test_a_body_that_is_no_object_is_refused(verb: str, raw: bytes) -> None:
    assert refusal(verb, raw).field is None


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize(
    "raw",
    [
        *(b" ", b"{", b"}", b"{}{}", b"{} x", b"{'a':1}", b"{,}", b"{1:2}", b'{"a"}', b"// {}"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param("{}".encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"provider":"openai",}', id="a trailing comma"),
        pytest.param(b'{"provider":"a\nb"}', id="a bare control character"),
        pytest.param(b'{"provider":"\xff"}', id="a byte that UTF-8 never has"),
        pytest.param(b'{"\xff":1}', id="such a byte in a key"),
        pytest.param(b'{"provider":"\xc0\x80"}', id="an overlong NUL"),
        pytest.param(b'{"provider":"\xed\xa0\x80"}', id="an encoded surrogate"),
        pytest.param(rb'{"provider":"\ud800"}', id="a lone high surrogate"),
        pytest.param(rb'{"provider":"\udc00"}', id="a lone low surrogate"),
        pytest.param(rb'{"provider":"\ud800\ud800"}', id="two high surrogates"),
        pytest.param(rb'{"provider":"\x41"}', id="an escape that JSON lacks"),
        *(b'{"provider":NaN}', b'{"provider":Infinity}', b'{"provider":"open'),
    ],
)
def test_a_body_that_is_not_json_in_utf_8_is_refused(verb: str, raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_command(verb, raw)


NESTS = [b"[" * 5_000 + b"]" * 5_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b"[" * 5_000]


@pytest.mark.parametrize(("verb", "field"), FIELDS)
@pytest.mark.parametrize("nest", NESTS, ids=["arrays", "objects", "unclosed"])
def test_nesting_5000_deep_is_refused_in_every_field(verb: str, field: str, nest: bytes) -> None:
    raw = body(verb, **{field: 0}).replace(b": 0", b": " + nest)
    assert refusal(verb, raw).field == field


@pytest.mark.parametrize(("verb", "field"), MONEY)
@pytest.mark.parametrize("nest", NESTS, ids=["arrays", "objects", "unclosed"])
def test_nesting_5000_deep_is_refused_where_money_is_expected(
    verb: str, field: str, nest: bytes
) -> None:
    raw = body(verb, **{field: 0}).replace(b": 0", b": " + nest)
    with pytest.raises(InvalidRequest) as caught:
        money(verb, field, raw)
    assert caught.value.field == field


@pytest.mark.parametrize("nest", NESTS, ids=["arrays", "objects", "unclosed"])
def test_nesting_5000_deep_is_refused_in_an_unknown_field(nest: bytes) -> None:
    assert refusal("stats", b'{"deep":' + nest + b"}").field == "deep"


@pytest.mark.parametrize("nest", NESTS, ids=["arrays", "objects", "unclosed"])
@pytest.mark.parametrize(
    ("verb", "field"),
    [
        ("catalog.plans.put", "price_yearly"),
        ("catalog.plans.put", "limits"),
        ("catalog.prices.put", "cost_per_page"),
    ],
)
def test_nesting_5000_deep_names_no_field_that_may_be_another_one(
    verb: str, field: str, nest: bytes
) -> None:
    inner = b'{"openai_calls":' + nest + b"}" if field == "limits" else nest
    raw = encode_reply({**BY_NAME[verb].least, field: "x"}).replace(b'"x"', inner)
    with pytest.raises(InvalidRequest) as caught:
        decoder_of(verb)(raw)
    assert (caught.value.message, caught.value.field) == ("nested too deep", None)


@pytest.mark.parametrize(("verb", "field"), MONEY)
@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0", 0),
        ("-0.0", 0),
        ("1e-9", 1),
        ("0.1", 100_000_000),
        ("1E3", 10**12),
        ("1000000", 10**15),
        ("  5  ", 5 * 10**9),
        ("1.50000000000000", 1_500_000_000),
    ],
)
def test_money_is_read_exactly_from_its_text(verb: str, field: str, text: str, nano: int) -> None:
    raw = body(verb, **{field: 7}).replace(b": 7", b":" + text.encode())
    assert money(verb, field, raw) == nano


@pytest.mark.parametrize(("verb", "field"), MONEY)
@pytest.mark.parametrize(
    "text",
    [
        *("-1", "-1e-9", "1000000.000000001", "1e7", "1e-10", "1.0000000001"),
        *("1e300000", "1e-300000", "-1e300000", "1e999999999999999999", "1e-999999999999999999"),
        # Exponents that no decimal can hold.
        *("1e9999999999999999999", "1e-9999999999999999999", "0e9999999999999999999"),
        *('"5"', '""', "true", "false", "[5]", "{}", "NaN", "Infinity", "-Infinity", "nul"),
        *("01", "1.", ".5", "+1", "1e", "1e5.5", "0x10", "1_0", "--1", "1 2", "-", "٣"),
    ],
)
def test_invalid_money_and_money_out_of_bounds_is_refused(verb: str, field: str, text: str) -> None:
    raw = body(verb, **{field: 7}).replace(b": 7", b":" + text.encode())
    with pytest.raises(InvalidRequest) as caught:
        money(verb, field, raw)
    assert caught.value.field == field or "not JSON" in caught.value.message


@pytest.mark.parametrize("text", ['"5"', '""', "true", "[5]", "{}"])
def test_a_money_field_that_holds_no_number_is_told_so(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Expected a number"):
        money("track", "cost", body("track", cost=7).replace(b": 7", b":" + text.encode()))


def padded(size: int) -> bytes:
    return b'{"provider":"openai"' + b" " * (size - 21) + b"}"


def test_a_body_of_64_kib_is_taken_and_one_byte_more_is_too_large() -> None:
    assert BODY_BYTES_MAX == 65_536
    decode_command("track", padded(BODY_BYTES_MAX))
    with pytest.raises(RequestError) as caught:
        decode_command("track", padded(BODY_BYTES_MAX + 1))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    "verb", ["", "Track", "batch ", "p", "catalog", "é", "x" * 10_000, "\udcff"]
)
def test_an_unknown_verb_is_refused_whatever_its_body(verb: str) -> None:
    with pytest.raises(RequestError) as caught:
        decode_command(verb, b"\xff" * (BODY_BYTES_MAX + 1))
    assert caught.value.code == "unknown_verb"
    assert len(caught.value.message) < 300


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
any_bytes = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(
        st.sampled_from(sorted({field for _, field in [*FIELDS, *MONEY]})), json_values, max_size=4
    ).map(lambda fields: msgspec.json.encode({"provider": "openai", **fields})),
    st.tuples(st.binary(max_size=8), st.integers(0, 60)).map(
        lambda cut: body("track", model_used="ü")[: cut[1]] + cut[0]
    ),
)


@given(st.sampled_from(sorted(COMMANDS)), any_bytes)
def test_any_bytes_are_a_command_or_a_refusal_and_nothing_else(verb: str, raw: bytes) -> None:
    refused: InvalidRequest | None = None
    try:
        command = decode_command(verb, raw)
        for name in ("cost", "cost_requested"):
            if hasattr(command, name):
                money_of(getattr(command, name), name)
    except InvalidRequest as error:
        refused = error
    if refused is not None and refused.field is not None and raw:
        assert refused.field in raw.decode(errors="replace") or refused.field in REQUIRED[verb]
