"""Loads that time each request: one in flight, and at a given rate however slow the answers are."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator

from tests.tools.bench.wire import LoadError, Wire

TICK_S = 0.000_5
DRAIN_S = 30.0
_KEY = b'"event_id"'


def one_in_flight(wire: Wire, requests: Iterator[bytes], seconds: float) -> list[float]:
    """Milliseconds of each request, the next one sent when the last one is answered."""
    spent: list[float] = []
    end = time.perf_counter() + seconds
    for request in requests:
        start = time.perf_counter()
        if start > end:
            break
        wire.socket.sendall(request)
        while not wire.receive():
            pass
        spent.append((time.perf_counter() - start) * 1e3)
    return spent


def paced(wire: Wire, requests: Iterator[bytes], seconds: float, rate: float) -> list[float]:
    """Milliseconds of each `track` since the moment when it was due.

    Open loop: what is due is sent, whatever is still unanswered, so a stall counts for all
    requests that it delays (the fault named "coordinated omission" otherwise). What is due within
    a tick is sent at its beginning.

    Raises:
        LoadError: not every request was answered in time.
    """
    due: dict[bytes, float] = {}
    spent: list[float] = []
    replies: list[tuple[bytes, bytes]] = []
    start = time.perf_counter()
    sent = tick = 0
    while (moment := start + tick * TICK_S) < start + seconds:
        _take(wire, moment, due, spent, replies)
        count = int((tick + 1) * TICK_S * rate) - sent
        burst = [next(requests) for _ in range(count)]
        for request in burst:
            due[_key_of(request)] = moment
        wire.socket.sendall(b"".join(burst))
        sent += count
        tick += 1
    _take(wire, time.perf_counter() + DRAIN_S, due, spent, replies, to_the_end=True)
    if due:
        raise LoadError(f"{len(due)} requests are not answered")
    return spent


def _take(
    wire: Wire,
    until: float,
    due: dict[bytes, float],
    spent: list[float],
    replies: list[tuple[bytes, bytes]],
    *,
    to_the_end: bool = False,
) -> None:
    """Take replies until a moment, or until there are none to wait for."""
    while (left := until - time.perf_counter()) > 0 and (due or not to_the_end):
        if select.select([wire.socket], [], [], left)[0]:
            wire.receive(replies)
            now = time.perf_counter()
            spent += [(now - due.pop(_key_of(body))) * 1e3 for _, body in replies]
            replies.clear()


def _key_of(message: bytes) -> bytes:
    at = message.index(b'"', message.index(_KEY) + len(_KEY) + 1) + 1
    return message[at : at + 32]


def percentiles(spent: list[float]) -> dict[str, float]:
    """The usual ones, by name."""
    ordered = sorted(spent)
    return {
        name: ordered[min(int(len(ordered) * share), len(ordered) - 1)]
        for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999))
    }
