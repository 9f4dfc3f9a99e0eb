"""How answers leave: by the transport itself, or by the client if that cannot take them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import structlog.testing
from nats.aio.transport import TcpTransport

from actors.edge.outgoing import (
    CONTROL_LINE_BYTES_MAX,
    HEADERS_BYTES_MAX,
    UNSENT_BYTES_MAX,
    Outgoing,
    Refusal,
)
from actors.edge.parser import Deliver, InlineParser
from tests.support.rig import until


class Sink:
    """Stands for a client, its transport's socket and its queue: keeps what each is given."""

    def __init__(self) -> None:
        self._transport = TcpTransport()  # type: ignore[no-untyped-call]
        self._transport._io_writer = SimpleNamespace(transport=self)  # type: ignore[assignment]
        self._pending: list[bytes] = []
        self._pending_data_size = 0
        self._max_pending_size = 1_000
        self._max_payload = 5_000
        self._flush_queue: asyncio.Queue[Any] = asyncio.Queue()
        self.is_connected = True
        self.written: list[bytes] = []
        self.unsent = 0
        self.lost = False

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes) -> None:
        if self.lost:
            raise RuntimeError("the handler is closed")
        self.written.append(data)


ANSWER = b"PUB r 2\r\n{}\r\n"


async def test_the_answers_of_one_read_leave_in_one_piece_when_it_is_parsed() -> None:
    sink = Sink()
    outgoing = Outgoing(sink)
    parser = InlineParser(SimpleNamespace())

    def deliver(*_: bytes) -> None:
        outgoing.send(b"r", b"{}")

    def behind(count: int) -> Deliver:
        assert count == 2
        outgoing.hand_over()
        return deliver

    parser.serve(7, deliver, behind)
    await parser.parse(b"MSG usage.v1.track.alice 7 r 2\r\n{}\r\n" * 2)
    assert sink.written == [ANSWER * 2]


async def test_an_answer_between_reads_leaves_with_the_next_turn_of_the_loop() -> None:
    sink = Sink()
    outgoing = Outgoing(sink)
    outgoing.send(b"r", b"{}")
    outgoing.send(b"r", b"{}")
    assert sink.written == []
    await asyncio.sleep(0)
    assert sink.written == [ANSWER * 2]


@pytest.mark.parametrize("prefix", ["usage.v1", "_usage"])
async def test_no_answer_goes_where_the_service_or_the_server_takes_orders(prefix: str) -> None:
    sink = Sink()
    outgoing = Outgoing(sink, prefix)
    closed = ["alert.bob.openai_calls.80", "suspend.bob", "p.7.cancel.bob", "ctl.claim.meterd"]
    subjects = [f"{prefix}.{what}".encode() for what in closed]
    subjects += [b"$JS.API.STREAM.DELETE.METERD_ALERTS", b"$SYS.REQ.SERVER.PING", b"$SRV.PING"]
    subjects += [b"$JS.hub.API.STREAM.PURGE.METERD_ALERTS", b"$KV.bucket.key", b"$JS.ACK.a", b"$"]
    with structlog.testing.capture_logs() as lines:
        for subject in subjects:
            outgoing.send(subject, b"{}")
            outgoing.send(subject, b"{}", {"Nats-Service-Error-Code": "400"})
    assert [line["subject"] for line in lines] == [repr(subjects[0])]  # said once
    assert all(map(Refusal(prefix).of, subjects))
    outgoing.hand_over()
    assert sink.written == []


async def test_reply_subjects_that_are_refused_go_on_being_counted_in_the_log() -> None:
    refusal = Refusal("usage.v1")
    refusal._told._quiet_s = 0  # in place of a minute
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            assert refusal.of(b"usage.v1.alert.bob.calls.80")
        await until(lambda: len(lines) == 2)
    assert [line["event"] for line in lines] == ["reply_subject_refused"] * 2
    assert lines[1]["again"] == 2


@pytest.mark.parametrize(
    "subject", [b"r", b"_INBOX.a.b", b"_", b"usage.v2.x", b"usage.v1x.y", b"a.$JS", b"\xff"]
)
async def test_an_answer_goes_to_any_other_subject(subject: bytes) -> None:
    sink = Sink()
    outgoing = Outgoing(sink)
    outgoing.send(subject, b"{}")
    outgoing.hand_over()
    assert sink.written == [b"PUB " + subject + b" 2\r\n{}\r\n"]


async def test_an_answer_that_the_server_would_not_take_is_replaced_by_an_error() -> None:
    sink = Sink()
    outgoing = Outgoing(sink)
    with structlog.testing.capture_logs() as lines:
        for size in (5_000 - HEADERS_BYTES_MAX, 5_001 - HEADERS_BYTES_MAX):
            outgoing.send(b"r", b"x" * size)
    outgoing.hand_over()
    (data,) = sink.written
    assert data.count(b"x" * 100) > 10
    assert data.count(b"HPUB r ") == 1
    assert b'"code":"internal"' in data
    assert [line["event"] for line in lines] == ["reply_too_large"]


async def test_an_answer_whose_control_line_is_too_long_is_dropped_counted_and_told_once() -> None:
    sink = Sink()
    outgoing = Outgoing(sink)
    fits = CONTROL_LINE_BYTES_MAX - len(b"PUB  2")
    with structlog.testing.capture_logs() as lines:
        for size in (fits, fits + 1, fits + 2, 5_000):
            outgoing.send(b"_" * size, b"{}")
        outgoing.send(b"_" * fits, b"{}", {"Nats-Service-Error-Code": "400"})
        outgoing.send_ready(b"_" * fits, b" 10 12\r\n{}")
    outgoing.hand_over()
    assert sink.written == [b"PUB " + b"_" * fits + b" 2\r\n{}\r\n"]
    assert [line["event"] for line in lines] == ["reply_subject_too_long"]
    assert outgoing.undeliverable == 5


def waiting(sink: Sink) -> None:
    sink._pending.append(b"before")


def slow(sink: Sink) -> None:
    sink.unsent = UNSENT_BYTES_MAX + 1


def down(sink: Sink) -> None:
    sink.is_connected = False


def lost(sink: Sink) -> None:
    sink.lost = True


@pytest.mark.parametrize("how", [waiting, slow, down, lost])
async def test_the_client_keeps_answers_that_the_transport_cannot_take(how: Any) -> None:
    sink = Sink()
    how(sink)
    before = list(sink._pending)
    outgoing = Outgoing(sink)
    outgoing.send(b"r", b"{}")
    outgoing.hand_over()
    assert sink.written == []
    assert sink._pending == [*before, ANSWER]
    assert sink._pending_data_size == len(ANSWER)
    assert sink._flush_queue.qsize() == 1


async def test_while_the_connection_is_down_little_is_kept() -> None:
    sink = Sink()
    down(sink)
    outgoing = Outgoing(sink)
    with structlog.testing.capture_logs() as lines:
        for _ in range(100):
            outgoing.send(b"r", b"{}")
            outgoing.hand_over()
    assert 900 < sink._pending_data_size <= sink._max_pending_size
    assert {line["event"] for line in lines} == {"replies_dropped"}
