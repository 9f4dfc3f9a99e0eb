"""One meterd serves a prefix: prefixes inside of each other, and a process that stood still."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from messages.subjects import PREFIX, request_subject
from tests.support.nats import NatsServer
from tests.support.raw import RawClient
from tests.support.service import Service, ServiceEndedError

TRACK = request_subject(PREFIX, "track", "alice")

Make = Callable[..., Service]


@pytest.fixture
def make(tmp_path: Path, nats_server: NatsServer) -> Iterator[Make]:
    """Makes services on one server, not started, each with a data directory of its own."""
    with ExitStack() as stack:
        count = 0

        def new(prefix: str = PREFIX) -> Service:
            nonlocal count
            count += 1
            env = {"METERD_NATS_URL": nats_server.url, "METERD_PREFIX": prefix}
            service = Service(tmp_path / f"data{count}", command="serve", env=env)
            stack.callback(service.kill)
            return service

        yield new


def test_a_service_stopped_while_another_started_answers_nothing_any_more(
    make: Make, nats_server: NatsServer
) -> None:
    stopped = make().start()
    with RawClient(nats_server.url) as client:
        assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2
        stopped.process.send_signal(signal.SIGSTOP)
        second = make().start()
        numbers = [client.post(TRACK, {"provider": "exa"}) for _ in range(60)]
        client.flush()  # the stopped one has drawn some of them
        stopped.process.send_signal(signal.SIGCONT)
        answers = [client.reply(number).json() for number in numbers]
        refused = [answer["error"] for answer in answers if "error" in answer]
        assert 0 < len(refused) < 60
        assert {(error["code"], error["retryable"]) for error in refused} == {("unavailable", True)}
        assert stopped.wait() == 1
        assert "another meterd serves" in stopped.stderr
        total = client.request(f"{PREFIX}.stats.alice").json()["total_calls"]
        assert total == 60 - len(refused)  # the second one acknowledged all that was
        assert client.request(TRACK, {"provider": "exa"}).json()["usage_logged"]
    assert second.terminate() == 0


def test_a_service_stopped_or_cut_off_alone_answers_all_that_waited(
    make: Make, nats_server: NatsServer
) -> None:
    service = make().start()
    with RawClient(nats_server.url) as client:
        for seq in (2, 3, 4):
            service.process.send_signal(signal.SIGSTOP)
            number = client.post(TRACK, {"provider": "exa"})
            with pytest.raises(TimeoutError):
                client.reply(number, 0.6)
            service.process.send_signal(signal.SIGCONT)
            assert client.reply(number).json()["seq"] == seq
    assert service.terminate() == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("usage.v1", "usage.v1.staging"),
        ("usage.v1.staging", "usage.v1"),
        ("usage.v1.staging.eu", "usage"),
        ("usage.v1.p", "usage.v1"),
    ],
)
def test_a_prefix_inside_of_another_refuses_to_start_whichever_came_first(
    make: Make, nats_server: NatsServer, first: str, second: str
) -> None:
    service = make(first).start()
    with pytest.raises(ServiceEndedError, match=f"another meterd .* serves {first} ") as found:
        make(second).start()
    assert (found.value.code, found.value.stderr.count("\n")) == (1, 1)
    assert f" {second} overlap" in found.value.stderr
    beside = make(f"{first}x").start()
    for one, name in ((service, first), (beside, f"{first}x")):
        with RawClient(nats_server.url) as client:
            answers = [client.request(f"{name}.track.alice", {"provider": "exa"}) for _ in "12345"]
        assert [answer.json()["seq"] for answer in answers] == [2, 3, 4, 5, 6]
        assert one.terminate() == 0
