"""Whatever a body or a subject is made of: it is taken, or refused by the one declared error."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.billing.catalog.pages import read_cursor as read_page_cursor
from actors.billing.reports.usage_log import Filter
from actors.billing.reports.usage_log import read_cursor as read_log_cursor
from actors.clock import SystemClock
from actors.edge.dispatch import Edge
from actors.runtime.request import Request
from messages.codec import (
    decode_batch,
    decode_command,
    decode_error,
    decode_event,
    decoder_of,
    encode_reply,
    error_headers,
    key_of,
    money_of,
)
from messages.errors import ERRORS, ErrorReply, InvalidRequest, RequestError
from messages.stored.errors import UnreadableEvent
from messages.subjects import PREFIX, decode_user, encode_user, partition_of, request_subject
from messages.units import USER_ID_BYTES_MAX
from messages.usage import Batch, ConvertedTrack, Track
from messages.verbs import COMMANDS
from tests.support.meter import NOON
from tests.support.mutations import VERBS, mutated

BODY_BYTES_MAX = 64 * 1024
REPLY_BYTES_MAX = 2_048
WITHOUT_FIELD = ("not JSON", "not UTF-8", "nested too deep")
"""What a body that is wrong as a whole is told."""

verbs = st.sampled_from(VERBS)
seeds = st.integers(0, 2**63)
numbers = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),  # also nan and inf, which are none of JSON's
    st.tuples(st.integers(), st.integers(-400_000, 400_000)).map(lambda p: f"{p[0]}e{p[1]}"),
    st.integers(1, 30_000).map(lambda digits: "9" * digits),
)
texts = st.text(st.characters(exclude_categories=())).map(json.dumps)
leaves = st.one_of(numbers, texts, st.sampled_from(["null", "true", "false", "NaN", "", '"\\u"']))
names = st.one_of(texts, st.sampled_from(['"provider"', '"event_id"', '"cost"', '"events"']))


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(names, inner), max_size=4)  # a key may come twice
    return st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]"),
        pairs.map(lambda found: "{" + ",".join(f"{k}:{v}" for k, v in found) + "}"),
        st.tuples(inner, st.integers(1, 3_000)).map(lambda p: "[" * p[1] + p[0] + "]" * p[1]),
        st.tuples(inner, st.integers(1, 900)).map(lambda p: '{"a":' * p[1] + p[0] + "}" * p[1]),
    )


documents = st.recursive(leaves, nested, max_leaves=12).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)
bodies = st.one_of(
    st.binary(max_size=200),
    documents,
    st.tuples(documents, st.binary(max_size=8), documents).map(b"".join),
)


def judge(verb: str, body: bytes) -> Any:
    """What a body decodes to, its money and its events looked at too."""
    command = decoder_of(verb)(body)
    for name in ("cost", "cost_requested", "price_monthly", "cost_per_input_token"):
        raw = getattr(command, name, None)
        if isinstance(raw, msgspec.Raw):
            found = money_of(raw, name)
            assert found is None or 0 <= found <= 10**15
    if isinstance(command, Batch):
        for event in decode_batch(command):
            assert isinstance(event, Track | RequestError)
            if isinstance(event, RequestError):
                check_error(event, b"{")
    return command


def check_error(error: RequestError, body: bytes) -> None:
    """A row of the table, text that is fit for a header, and the field if there is one."""
    assert error.code in ERRORS
    assert error.message.isascii()
    assert error.message.isprintable()
    reply = encode_reply(ErrorReply(error.body(key_of(body))))
    assert len(reply) < REPLY_BYTES_MAX
    assert decode_error(reply).code == error.code
    assert all("\r" not in value and "\n" not in value for value in error_headers(error).values())
    whole = not body.lstrip(b" \t\r\n").startswith(b"{")  # no object, so no field either
    if type(error) is InvalidRequest and not (whole or error.message.startswith(WITHOUT_FIELD)):
        nameless = "field ``" in error.message or "`key`" in error.message
        assert error.field or nameless, error.message
        assert nameless or error.field is None or error.field[:100] in error.message


def taken_or_refused(verb: str, body: bytes) -> None:
    try:
        command = judge(verb, body)
    except RequestError as error:
        check_error(error, body)
        return
    assert type(command) in {COMMANDS.get(verb, type(command)), ConvertedTrack}
    # What is taken is JSON to everybody else too; events of a batch are judged one by one.
    assert isinstance(json.loads(body.decode(errors="replace") or "{}"), dict)


@given(verbs, bodies)
def test_any_bytes_are_taken_or_refused_by_the_declared_error(verb: str, body: bytes) -> None:
    taken_or_refused(verb, body)


@given(verbs, seeds)
def test_a_body_that_is_nearly_right_is_taken_or_refused_by_its_field(verb: str, seed: int) -> None:
    taken_or_refused(verb, mutated(random.Random(seed), verb))


def code_of(verb: str, body: bytes) -> str | None:
    try:
        judge(verb, body)
    except RequestError as error:
        check_error(error, body)
        return error.code
    return None


@given(verbs, st.integers(0, 10), st.sampled_from([b" ", b"[", b'{"a":', b"9", b"\xff"]))
def test_a_body_of_its_greatest_size_is_judged_and_a_larger_one_is_not_looked_at(
    verb: str, over: int, piece: bytes
) -> None:
    limit = 8 * BODY_BYTES_MAX if verb == "batch" else BODY_BYTES_MAX
    body = (piece * (limit // len(piece) + 1))[: limit - 5 + over]
    assert (code_of(verb, body) == "too_large") == (len(body) > limit)


@given(st.text(max_size=150))
def test_a_user_id_comes_back_from_its_token_or_is_refused_by_a_value_error(user: str) -> None:
    try:
        token = encode_user(user)
    except ValueError:
        assert not 1 <= len(user.encode("utf-8", "surrogatepass")) <= USER_ID_BYTES_MAX or any(
            ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in user
        )
        return
    assert decode_user(token) == user
    assert len(request_subject(PREFIX, "track", user).split(".")) == 4
    assert 0 <= partition_of(token) < 64


@given(st.one_of(st.text(max_size=400), st.from_regex(r"(=[0-9A-F]{2}|[a-z=%]){1,40}")))
def test_a_token_is_exactly_the_encoding_of_what_it_decodes_to(token: str) -> None:
    try:
        user = decode_user(token)
    except ValueError:
        return
    assert encode_user(user) == token


def refused_by_cursor(read: Callable[[str], object], cursor: str) -> None:
    try:
        read(cursor)
    except InvalidRequest as error:
        check_error(error, b'{"cursor":""}')
        if error.field == "cursor":
            return
        raise


@given(st.text(max_size=600), st.sampled_from(["=", "MTow", "LTE6", "4pyT", "OTk5OTk5OTk5Og"]))
def test_a_cursor_that_was_not_given_out_is_refused_by_its_field(text: str, piece: str) -> None:
    wanted = Filter(None, None, None, None, None, None)
    for cursor in (text, piece + text):
        for read in (
            lambda c: read_log_cursor(c, wanted),
            lambda c: read_page_cursor(c, "0", int),
            lambda c: read_page_cursor(c, "0", decode_user),
        ):
            refused_by_cursor(read, cursor)


class Sink:
    """Keeps what is answered."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes]] = []

    def send(self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
        assert headers is None or all(value.isprintable() for value in headers.values())
        self.sent.append((reply_to, payload))

    def now(self) -> int:
        return NOON


pieces = st.one_of(
    st.sampled_from([b"track", b"stats", b"p", b"7", b"alice", b"catalog", b"alert", b"ctl", b""]),
    st.binary(max_size=12),
    st.text(max_size=6).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
heads = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=140).map(lambda value: b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n" % value),
)


@given(st.lists(pieces, max_size=7).map(b".".join), st.booleans(), bodies, heads)
def test_a_message_of_any_bytes_becomes_a_request_or_gets_one_answer_of_the_table(
    subject: bytes, replying: bool, body: bytes, head: bytes
) -> None:
    sink, taken = Sink(), list[Request]()
    edge = Edge(PREFIX, taken.append, sink, SystemClock())
    for _ in range(2):  # the second time by the route that was kept
        taken.clear()
        sink.sent.clear()
        reply_to = b"_INBOX.x" if replying else b""
        edge.deliver(PREFIX.encode() + b"." + subject, reply_to, body, head)
        assert len(sink.sent) + len(taken) <= 1
        for to, payload in sink.sent:
            assert to == reply_to
            assert decode_error(payload).code in ERRORS.keys() - {"internal"}
        for request in taken:
            assert encode_user(request.user) == request.token or request.user == ""


@given(st.sampled_from(["usage", "usage_recorded", "reset", "period_rolled"]), bodies)
def test_an_invalid_stored_text_is_an_unreadable_event_and_no_other_error(
    kind: str, body: bytes
) -> None:
    refused = None
    try:
        decode_event(kind, body.decode("utf-8", "replace"), 7)
    except UnreadableEvent as error:
        refused = error
    assert refused is None or (refused.kind, refused.seq) == (kind, 7)


@given(seeds)
def test_most_bodies_that_are_nearly_right_are_still_looked_into(seed: int) -> None:
    # Else the mutations would only ever test the first check.
    rng = random.Random(seed)
    made = [mutated(rng, "track") for _ in range(200)]
    taken = 0
    for body in made:
        try:
            decode_command("track", body)
        except RequestError:
            continue
        taken += 1
    assert 20 < taken < 180
