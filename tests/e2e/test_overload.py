"""Callers who ask too much, do not listen, or leave; `make overload` asks for longer."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

from messages.subjects import PREFIX, request_subject
from tests.support.raw import RawClient
from tests.support.service import Service
from tests.tools.bench.stage import memory_mb
from tests.tools.overload.__main__ import overload
from tests.tools.overload.caller import Caller


def test_each_of_too_many_requests_has_one_answer_and_accepted_ones_are_counted(
    tmp_path: Path,
) -> None:
    found, faults = overload(tmp_path / "data", seconds=2, times=3, hot=0.5, strict=False)
    assert faults == []
    assert found["top"] > 100


def test_callers_who_do_not_listen_cost_nobody_an_answer(service: Service) -> None:
    before = memory_mb(service.pid)
    slow = [Caller(service.url, f"slow{n}", 10, 0.0, n) for n in range(5)]
    for caller in slow:
        for _ in range(100):
            caller.offer(0.0)
    with RawClient(service.url) as client:
        for n in range(200):
            stats = client.request(
                request_subject(PREFIX, "track", f"other{n}"), {"provider": "exa"}
            )
            assert stats.json()["usage_logged"]
    assert memory_mb(service.pid) < before + 60
    for caller in slow:
        caller.socket.close()


def test_callers_who_leave_before_the_answer_cost_nobody_an_answer(service: Service) -> None:
    address = urlsplit(service.url)
    body = b'{"provider":"exa"}'
    with RawClient(service.url) as client:
        for n in range(100):
            gone = socket.create_connection((address.hostname, address.port), 10)
            subject = f"{PREFIX}.track.u{n % 10}".encode()
            request = b"PUB %b _INBOX.gone.%d %d\r\n%b\r\n" % (subject, n, len(body), body)
            gone.sendall(b'CONNECT {"verbose":false}\r\n' + request * 20)
            gone.close()
            reply = client.request(request_subject(PREFIX, "track", "stays"), {"provider": "exa"})
            assert reply.json()["usage_logged"]
        stays = client.request(request_subject(PREFIX, "stats", "stays")).json()
    assert stays["total_calls"] == 100
