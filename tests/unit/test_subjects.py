from __future__ import annotations

import unicodedata
from functools import reduce

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from messages.subjects import (
    PARTITIONS,
    alert_subject,
    check_prefix,
    decode_user,
    encode_user,
    event_subject,
    mapping,
    partition_of,
    request_subject,
)

KEPT = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
CONTROLS = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) == "Cc"]

users = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=128).filter(
    lambda user: len(user.encode()) <= 128
)
# Tokens close to the grammar: right, and wrong in every way that a decoder could overlook.
pieces = st.one_of(
    st.sampled_from([*KEPT, "=", ".", "*", ">", " ", "ü", "=40", "=c3=a9", "=C3=A9", "=61", "=7F"]),
    st.integers(0, 255).map(lambda byte: f"={byte:02X}"),
    st.integers(0, 255).map(lambda byte: f"={byte:02x}"),
    users.map(encode_user),
)
tokens = st.one_of(st.text(max_size=6), st.lists(pieces, max_size=5).map("".join))


@pytest.mark.parametrize(
    ("user", "token"),
    [
        ("alice", "alice"),
        ("alice@example.com", "alice=40example=2Ecom"),
        ("a=b", "a=3Db"),
        ("=", "=3D"),
        ("a b.c*>", "a=20b=2Ec=2A=3E"),
        ("é", "=C3=A9"),
        ("e\u0301", "e=CC=81"),
        ("\U0001f600", "=F0=9F=98=80"),
        (KEPT, KEPT),
        ("a" * 128, "a" * 128),
        ("é" * 64, "=C3=A9" * 64),
        ("." * 128, "=2E" * 128),
    ],
)
def test_a_user_id_travels_as_one_token(user: str, token: str) -> None:
    assert encode_user(user) == token
    assert decode_user(token) == user


@given(users)
@example("." * 128)
def test_every_user_id_comes_back_from_its_token(user: str) -> None:
    token = encode_user(user)
    assert set(token) <= set(KEPT + "=")
    assert decode_user(token) == user


@given(users, users)
def test_two_user_ids_never_share_a_token(one: str, other: str) -> None:
    assume(one != other)
    assert encode_user(one) != encode_user(other)


@given(tokens)
@example("")
@example("alice\n")
@example("=41")
def test_a_token_is_accepted_only_if_it_is_the_encoding_of_what_it_decodes_to(
    token: str,
) -> None:
    try:
        user = decode_user(token)
    except ValueError:
        return
    assert encode_user(user) == token


@pytest.mark.parametrize("byte", range(256), ids=lambda byte: f"{byte:02X}")
def test_an_encoded_byte_is_accepted_if_it_has_to_be_encoded(byte: int) -> None:
    needed = 0x20 <= byte < 0x7F and chr(byte) not in KEPT
    if needed:
        assert decode_user(f"={byte:02X}") == chr(byte)
    else:
        with pytest.raises(ValueError, match=r"user id|decode"):
            decode_user(f"={byte:02X}")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("=c3=a9", id="lower-case hex"),
        pytest.param("=C3=a9", id="lower-case hex in one digit"),
        pytest.param("=2e", id="lower-case hex of a dot"),
        pytest.param("=61", id="a needlessly encoded letter"),
        pytest.param("a=2D", id="a needlessly encoded dash"),
        pytest.param("a.b", id="a bare dot"),
        pytest.param("a@b", id="a bare at"),
        pytest.param("a b", id="a bare space"),
        pytest.param("é", id="a bare byte over 127"),
        pytest.param("a\n", id="a newline at the end"),
        pytest.param("*", id="a wildcard"),
        pytest.param("=", id="a lone mark"),
        pytest.param("a=4", id="half a byte"),
        pytest.param("=4G", id="no hex"),
        pytest.param("=+1", id="a sign"),
        pytest.param("= 1", id="a space for a digit"),
        pytest.param("=٣٣", id="digits of another script"),
        pytest.param("=C3", id="truncated UTF-8"),
        pytest.param("=A9", id="a continuation byte"),
        pytest.param("=C0=AE", id="an overlong dot"),
        pytest.param("=ED=A0=80", id="a surrogate"),
        pytest.param("=F4=90=80=80", id="above the last code point"),
        pytest.param("=FF", id="a byte that UTF-8 never has"),
        pytest.param("a" * 129, id="129 plain bytes"),
        pytest.param("=2E" * 129, id="129 encoded bytes"),
        pytest.param("=C3=A9" * 64 + "a", id="129 mixed bytes"),
        pytest.param("a" * 100_000, id="far too long"),
        pytest.param("\udcff", id="a byte that the wire could not decode"),
    ],
)
def test_a_token_that_is_not_exactly_an_encoding_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match=r"user id|decode"):
        decode_user(token)


def test_control_characters_are_in_no_user_id_and_in_no_token() -> None:
    assert len(CONTROLS) == 65
    for control in CONTROLS:
        with pytest.raises(ValueError, match="control"):
            encode_user(f"a{control}")
        with pytest.raises(ValueError, match="control"):
            decode_user("a" + "".join(f"={byte:02X}" for byte in control.encode()))


# Published test vectors of FNV-1a 32 (draft-eastlake-fnv, appendix).
@pytest.mark.parametrize(
    ("token", "fnv"),
    [("", 0x811C9DC5), ("a", 0xE40C292C), ("b", 0xE70C2DE5), ("foobar", 0xBF9CF968)],
)
def test_the_partition_is_fnv_1a_modulo_64(token: str, fnv: int) -> None:
    assert partition_of(token) == fnv % 64


@given(users)
def test_the_partition_is_taken_of_the_encoded_token(user: str) -> None:
    token = encode_user(user)
    fnv = reduce(lambda h, byte: (h ^ byte) * 16_777_619 % 2**32, token.encode(), 2_166_136_261)
    assert partition_of(token) == fnv % PARTITIONS


def test_users_spread_over_all_partitions() -> None:
    assert {partition_of(f"user-{n}") for n in range(2_000)} == set(range(64))


def test_subjects_are_built_of_the_prefix_the_verb_and_the_token() -> None:
    user = "alice@example.com"
    assert request_subject("usage.v1", "track", user) == "usage.v1.track.alice=40example=2Ecom"
    assert alert_subject("usage.v1", "alice", "openai_calls", 80) == (
        "usage.v1.alert.alice.openai_calls.80"
    )
    # An id of a provider may have dots beside each other, and no token is empty.
    assert alert_subject("usage.v1", "alice", "a..b_calls", 80) == (
        "usage.v1.alert.alice.a=2E=2Eb_calls.80"
    )
    assert event_subject("usage.v1", "reset", user) == "usage.v1.event.reset.alice=40example=2Ecom"


def test_no_subject_is_built_of_an_invalid_user_id() -> None:
    with pytest.raises(ValueError, match="user id"):
        request_subject("usage.v1", "track", "")


def test_the_server_mapping_numbers_wildcards_not_tokens() -> None:
    assert mapping("usage.v1") == (
        "usage.v1.*.*",
        "usage.v1.p.{{partition(64,2)}}.{{wildcard(1)}}.{{wildcard(2)}}",
    )


@pytest.mark.parametrize("prefix", ["usage.v1", "a", "A-b_c.d.9", "x" * 128])
def test_a_prefix_is_plain_tokens_joined_by_dots(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize(
    "prefix", ["", ".", "a.", ".a", "a..b", "a.*", "a.>", "a b", "$SRV", "é", "a\n", "x" * 129]
)
def test_a_prefix_that_no_subject_may_start_with_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="not a subject prefix"):
        check_prefix(prefix)
