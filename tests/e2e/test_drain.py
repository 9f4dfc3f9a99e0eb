"""SIGTERM: every request that was taken is answered, and nothing of it is lost."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from messages.subjects import PREFIX, request_subject
from tests.support.raw import RawClient
from tests.support.service import Service

COUNT = 1_000


def post_tracks(client: RawClient, count: int = COUNT) -> list[int]:
    return [
        client.post(
            request_subject(PREFIX, "track", f"u{n % 7}"),
            {"provider": "tavily", "event_id": f"k{n}", "cost": 0.001},
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("command", ["up", "serve"])
def test_1000_queued_requests_get_1000_answers_and_all_are_there_after_a_restart(
    command: str, request: pytest.FixtureRequest
) -> None:
    service: Service = request.getfixturevalue(command)
    with RawClient(service.url) as client:
        numbers = post_tracks(client)
        client.flush()  # the server has sent all of them on to the service
        service.process.send_signal(signal.SIGTERM)
        client.collect(COUNT)
        assert service.wait() == 0
    replies = [client.replies[number] for number in numbers]
    assert all(len(found) == 1 for found in replies)
    acknowledged = [found[0].json() for found in replies]
    assert Counter(reply.get("duplicate") for reply in acknowledged) == {False: COUNT}

    service.start()
    with RawClient(service.url) as client:
        numbers = post_tracks(client)
        again = [client.reply(number).json() for number in numbers]
        assert again == [reply | {"duplicate": True} for reply in acknowledged]
        calls = [
            client.request(request_subject(PREFIX, "stats", f"u{n}")).json()["total_calls"]
            for n in range(7)
        ]
    assert sum(calls) == COUNT


def test_whoever_comes_while_the_service_stops_is_answered_or_told_that_nobody_is_there(
    serve: Service,
) -> None:
    with RawClient(serve.url) as client:
        numbers = post_tracks(client, COUNT // 2)
        serve.process.send_signal(signal.SIGTERM)
        while serve.process.poll() is None:
            numbers.append(client.post(request_subject(PREFIX, "stats", "late")))
            client.reply(numbers[-1])
        numbers.append(client.post(request_subject(PREFIX, "stats", "late")))  # to nobody
        client.collect(len(numbers))
        replies = [client.replies[number] for number in numbers]
    assert all(len(found) == 1 for found in replies)
    answered = Counter(found[0].status for found in replies)
    assert set(answered) <= {"", "503"}
    assert answered["503"] >= 1
    assert serve.wait() == 0
