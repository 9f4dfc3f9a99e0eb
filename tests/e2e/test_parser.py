"""What synchronous dispatch builds on in the installed nats-py, and the way without it."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nats
import pytest
import structlog.testing
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.protocol.parser import Parser

from actors.app import Service
from actors.edge import connection as link
from actors.edge import parser
from actors.edge.connection import Connection
from actors.edge.parser import (
    Deliver,
    InlineParser,
    supported,
)
from actors.settings.config import Config
from messages.stored.form import FORM
from persistence.memory import MemoryJournal
from tests.support.mixed import check_order, draw, post_all
from tests.support.nats import NatsServer
from tests.support.raw import RawClient

SEED = 20_260_307
SERVED = 7


def message(subject: bytes, sid: int, reply: bytes, body: bytes, head: bytes = b"") -> bytes:
    """A message as a server sends it."""
    sizes = b"%d %d" % (len(head), len(head) + len(body)) if head else b"%d" % len(body)
    words = [b"HMSG" if head else b"MSG", subject, b"%d" % sid, reply, sizes]
    return b" ".join(word for word in words if word) + b"\r\n" + head + body + b"\r\n"


STREAM = [
    b"INFO {}\r\n",
    message(b"usage.v1.track.alice", SERVED, b"_INBOX.1", b"{}"),
    message(b"usage.v1.track.alice", SERVED, b"", b""),
    b"PING\r\n",
    message(b"$SRV.PING", 3, b"_INBOX.2", b""),
    message(b"usage.v1.track.bob", SERVED, b"r.3", b"{}", b"NATS/1.0\r\nNats-Msg-Id:k\r\n\r\n"),
    message(b"usage.v1.track.bob", SERVED, b"", b"", b"NATS/1.0\r\n\r\n"),
    b"PONG\r\n",
    message(b"usage.v1.track.alice", SERVED, b"r.4", b"\r\nMSG x 7 y 1\r\nPING\r\n\r\n "),
    b"+OK\r\n",
    message(b"other", 3, b"r", b"\r\n" * 14, b"NATS/1.0\r\n\r\n"),
    message(b"usage.v1.track.carol", SERVED, b"r.5", b"x" * 3_000),
    b"PING\r\n",
]


class Calls:
    """Stands for nats-py's client: keeps what a parser calls it with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._pongs: list[asyncio.Future[bool]] = []
        self._pings_outstanding = 0

    async def _process_msg(self, *args: Any) -> None:
        self.calls.append(("msg", *args))

    async def _process_ping(self) -> None:
        self.calls.append(("ping",))

    async def _process_pong(self) -> None:
        self.calls.append(("pong",))

    async def _process_err(self, error: Any) -> None:
        self.calls.append(("err", error))

    async def _process_info(self, info: Any) -> None:
        self.calls.append(("info",))

    def deliver(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        self.calls.append(("msg", SERVED, subject, reply, payload, headers or None))

    def after(self, count: int) -> Deliver:
        return self.deliver


async def parse(parser: Parser, pieces: Iterable[bytes]) -> list[tuple[Any, ...]]:
    calls: Any = parser.nc
    for piece in pieces:
        await parser.parse(piece)
    # A message without a header block: one parser says None, the other an empty one.
    return [(*call[:5], call[5] or None) if call[0] == "msg" else call for call in calls.calls]


def inline_parser(*, serving: bool = True) -> InlineParser:
    calls = Calls()
    parser = InlineParser(calls)
    if serving:
        parser.serve(SERVED, calls.deliver, calls.after)
    return parser


async def expected() -> list[tuple[Any, ...]]:
    """What nats-py's own parser makes of the stream, given in one piece per operation."""
    return await parse(Parser(Calls()), STREAM)


async def test_the_installed_nats_py_has_what_the_module_builds_on(
    nats_server: NatsServer,
) -> None:
    client = await nats.connect(nats_server.url)
    assert supported(client)
    assert all(hasattr(client, name) for name in parser._PRIVATE)
    parameters = list(inspect.signature(Client._process_msg).parameters)
    assert parameters == ["self", "sid", "subject", "reply", "data", "headers"]
    assert "self._ps.parse(" in inspect.getsource(Client._read_loop)
    assert "self._ps.reset()" in inspect.getsource(Client._process_op_err)
    assert isinstance(client._pending, list)
    assert isinstance(client._flush_queue, asyncio.Queue)
    assert type(client._transport) is TcpTransport
    socket: Any = client._transport._io_writer.transport  # type: ignore[union-attr]
    assert socket.get_write_buffer_size() == 0
    assert not socket.is_closing()
    await client.close()


@pytest.mark.parametrize("client", [object(), SimpleNamespace(_ps=1)])
def test_another_client_is_not_supported(client: object) -> None:
    assert not supported(client)


def test_a_parser_that_is_not_the_known_one_is_not_supported() -> None:
    client = Client()
    client._ps = type("Other", (Parser,), {})(client)
    assert not supported(client)


@pytest.mark.parametrize("serving", [True, False])
async def test_it_reads_a_stream_as_nats_py_does(serving: bool) -> None:
    assert await parse(inline_parser(serving=serving), STREAM) == await expected()
    assert await parse(inline_parser(serving=serving), [b"".join(STREAM)]) == await expected()


async def test_a_stream_may_be_cut_at_any_byte() -> None:
    stream, wanted = b"".join(STREAM), await expected()
    for cut in range(len(stream) - 2_990):  # within the long body every place is alike
        assert await parse(inline_parser(), [stream[:cut], stream[cut:]]) == wanted, cut
    assert await parse(inline_parser(), (bytes([byte]) for byte in stream)) == wanted


async def test_a_stream_may_come_in_any_pieces() -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    wanted = await expected()
    for _ in range(200):
        stream, pieces = b"".join(STREAM), []
        while stream:
            size = rng.choice([1, 2, 3, 10, 100, 1_000])
            pieces.append(stream[:size])
            stream = stream[size:]
        assert await parse(inline_parser(), pieces) == wanted


async def test_bytes_that_are_no_utf8_are_delivered_and_end_nothing() -> None:
    seen: list[tuple[bytes, bytes]] = []
    parser = inline_parser()

    def seen_of(subject: bytes, reply: bytes, *_: bytes) -> None:
        seen.append((subject, reply))

    parser.serve(SERVED, seen_of, lambda _: seen_of)
    await parser.parse(b"MSG a.\xff\xfe 7 r.\xc3 2\r\n{}\r\nMSG b 7 2\r\n{}\r\n")
    assert seen == [(b"a.\xff\xfe", b"r.\xc3"), (b"b", b"")]


async def test_a_message_that_nats_py_chokes_on_does_not_end_the_read_loop() -> None:
    parser = inline_parser()
    calls: Any = parser.nc

    async def broken(*_: Any) -> None:
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "injected")

    calls._process_msg = broken
    with structlog.testing.capture_logs() as lines:
        await parser.parse(b"MSG a 3 2\r\n{}\r\n" * 4_000 + b"MSG b 7 2\r\n{}\r\n")
        assert [line["event"] for line in lines] == ["message_dropped"]  # told once
        parser._dropped._report()  # a minute later
    assert [line.get("again") for line in lines] == [None, 3_999]
    assert [call[2] for call in calls.calls] == [b"b"]


async def test_the_answer_to_a_flush_that_gave_up_ends_nothing() -> None:
    parser = inline_parser()
    calls: Any = parser.nc
    given_up: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    given_up.cancel()
    calls._pongs = [given_up, asyncio.get_running_loop().create_future()]
    assert await parse(parser, [b"PONG\r\n"]) == []
    assert len(calls._pongs) == 1
    assert await parse(parser, [b"PONG\r\n"]) == [("pong",)]


async def test_a_control_line_that_nats_py_chokes_on_does_not_end_the_read_loop() -> None:
    parser = inline_parser()
    with structlog.testing.capture_logs() as lines:
        await parser.parse(b"INFO {no JSON\r\n")
    assert [line["event"] for line in lines] == ["control_line_failed"]
    assert await parse(parser, STREAM) == await expected()


async def test_after_a_lost_connection_half_a_message_is_forgotten() -> None:
    parser = inline_parser()
    await parser.parse(b"MSG usage.v1.track.alice 7 _INBOX.1 20\r\nhalf of it")
    parser.reset()
    assert await parse(parser, STREAM) == await expected()


async def test_bytes_that_nats_py_read_before_are_not_lost() -> None:
    stream = b"".join(STREAM[1:])
    for cut in (0, 3, 20):
        calls = Calls()
        calls._ps = Parser(calls)  # type: ignore[attr-defined]
        await calls._ps.parse(stream[:cut])  # type: ignore[attr-defined]
        parser = InlineParser.install(calls)
        parser.serve(SERVED, calls.deliver, calls.after)
        assert calls._ps is parser  # type: ignore[attr-defined]
        assert await parse(parser, [stream[cut:]]) == (await expected())[1:]


async def test_a_flush_is_answered_when_the_server_has_what_was_sent_before() -> None:
    """nats-py alone sends its PING past what it still holds: the PONG would say nothing."""
    said = bytearray()
    async with talking_to_nobody(said) as url:
        connection = await Connection.connect(url, {}, name="test")
        said.clear()
        await connection.listen("heard", ignore)
        connection.send(b"reply", b"{}")
        await connection.publish("alert", b"{}")
        await connection.flush()
        *before, ping = bytes(said).splitlines()
        assert ping == b"PING"
        assert before == [b"SUB heard  1", b"PUB alert  2", b"{}", b"PUB reply 2", b"{}"]
        await connection.close()


async def test_a_flush_on_a_connection_that_is_lost_in_the_same_turn_says_so(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(**_: Any) -> None:
        raise RuntimeError("the handler is closed")  # uvloop's word for it

    connection = await Connection.connect(nats_server.url, {}, name="test")
    with monkeypatch.context() as patched:
        patched.setattr(connection.client, "flush", lost)
        with pytest.raises(ConnectionError, match="closed"):
            await connection.flush()
    await connection.close()


async def ignore(_: Msg) -> None:
    """Takes messages that nobody sends."""


@asynccontextmanager
async def talking_to_nobody(said: bytearray) -> AsyncIterator[str]:
    """A server that answers PING and keeps what it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"max_payload":1048576,"headers":true}\r\n')
        with suppress(OSError):
            while data := await reader.read(65_536):
                said.extend(data)
                writer.write(b"PONG\r\n" * data.count(b"PING\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("inlined", [True, False])
async def test_with_and_without_it_requests_take_effect_in_order_and_a_stop_answers_all(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inlined: bool
) -> None:
    print(f"seed {SEED}")
    if not inlined:
        monkeypatch.setattr(link, "supported", lambda _: False)
    asks = draw(random.Random(SEED), 2_000)
    connection = await Connection.connect(nats_server.url, {}, name="test")
    assert (connection._parser is not None) is inlined
    service = Service(Config(data_dir=tmp_path), MemoryJournal(FORM), connection, pytest.fail)
    await service.start()
    with RawClient(nats_server.url) as client:
        replies = await asyncio.to_thread(post_all, client, "alice", asks, 500)
        counted = check_order(asks, replies)

        queued = [client.post("usage.v1.track.alice", {"provider": "exa"}) for _ in range(1_000)]
        await asyncio.to_thread(client.flush)
        await service.stop()
        await connection.close()
        await asyncio.to_thread(client.collect, len(asks) + len(queued))
    assert [client.replies[number][0].json()["seq"] for number in queued] == [
        counted.seq + n for n in range(1, 1_001)
    ]


async def test_without_it_headers_errors_and_bad_requests_are_the_same(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(link, "supported", lambda _: False)
    connection = await Connection.connect(nats_server.url, {}, name="test")
    service = Service(Config(data_dir=tmp_path), MemoryJournal(FORM), connection, pytest.fail)
    await service.start()

    def talk() -> None:
        subject, body = "usage.v1.track.alice", {"provider": "exa"}
        with RawClient(nats_server.url) as client:
            first = client.request(subject, body, headers={"Nats-Msg-Id": "k"}).json()
            again = client.request(subject, body, headers={"Nats-Msg-Id": "k"}).json()
            assert [first["event_id"], again["duplicate"]] == ["k", True]
            refused = client.request("usage.v1.track.=61", body)
            assert refused.headers["Nats-Service-Error-Code"] == "400"
            assert refused.json()["error"]["code"] == "invalid_user"
            assert client.request("$SRV.PING").json()["name"] == "meterd"

    await asyncio.to_thread(talk)
    await service.stop()
    await connection.close()
