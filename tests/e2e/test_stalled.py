"""A server that takes nothing for a while: answers wait within bounds, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from actors.edge.connection import Connection
from actors.edge.outgoing import UNSENT_BYTES_MAX, Outgoing

REQUESTS: Final = 20_000
ANSWER: Final = b"x" * 3_000
ONE_READ: Final = 4 << 20
"""More than the answers to what one read of the connection brings."""
WAIT_S: Final = 60.0

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    """A server that speaks the protocol's beginning; ``serve`` goes on behind a SUB."""

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            writer.write(b'INFO {"max_payload":1048576,"headers":true}\r\n')
            while not (line := await reader.readline()).startswith(b"SUB"):
                if not line:
                    break
                writer.write(b"PONG\r\n" * line.startswith(b"PING"))
            else:
                await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not done():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0)


def unsent(client: Any) -> int:
    """The bytes that wait in the client and in its socket."""
    size: int = client._transport._io_writer.transport.get_write_buffer_size()
    return size + int(client._pending_data_size)


async def test_while_the_server_takes_no_answers_no_more_requests_are_taken_from_it() -> None:
    taken, most, reading = 0, 0, asyncio.Event()
    found: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(REQUESTS):
            writer.write(b"MSG usage.v1.track.alice 1 r.%d 2\r\n{}\r\n" % number)
        await reading.wait()
        while len(found) < REQUESTS:
            line = await reader.readuntil(b"\r\n")
            if line.startswith(b"PUB"):
                await reader.readexactly(len(ANSWER) + 2)
                found.append(line.split(b" ")[1])

    async with listening(serve) as url:
        connection = await Connection.connect(url, {}, name="test")
        client, outgoing = connection.client, connection.replies
        assert isinstance(outgoing, Outgoing)
        outgoing._unread_from = UNSENT_BYTES_MAX  # with less than they are, few are enough

        def deliver(_: bytes, reply_to: bytes, __: bytes, ___: bytes) -> None:
            nonlocal taken, most
            taken += 1
            most = max(most, unsent(client))
            connection.replies.send(reply_to, ANSWER)

        await connection.serve("usage.v1.>", "q", deliver)
        # What is not taken stays in the socket, which is not read any more.
        await until(lambda: taken == REQUESTS or client._transport._io_reader._paused)
        most = max(most, unsent(client))
        reading.set()
        await until(lambda: len(found) == REQUESTS)
        await connection.client.close()
    assert found == [b"r.%d" % number for number in range(REQUESTS)]
    assert most < 2 * UNSENT_BYTES_MAX + ONE_READ


async def test_a_connection_that_takes_nothing_is_given_up_without_waiting_for_it() -> None:
    connections: list[asyncio.StreamWriter] = []
    again = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) > 1:
            again.set()
            return
        writer.write(b"MSG usage.v1.track.alice 1 r 2\r\n{}\r\n")
        await again.wait()  # reads nothing, answers no PING, and does not close either

    async with listening(serve) as url:
        options = {"ping_interval": 0.05, "reconnect_time_wait": 0, "max_reconnect_attempts": -1}
        connection = await Connection.connect(url, options, name="test")

        def deliver(_: bytes, reply_to: bytes, __: bytes, ___: bytes) -> None:
            for _number in range(5_000):  # far more than the buffers of both sockets hold
                connection.replies.send(reply_to, ANSWER)

        await connection.serve("usage.v1.>", "q", deliver)
        async with asyncio.timeout(WAIT_S):
            await again.wait()
        await connection.client.close()
