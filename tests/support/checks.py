"""What must hold of a service whatever is sent to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from messages.subjects import PREFIX, encode_user, request_subject
from tests.support.raw import Message, RawClient

KIB = 1024


@contextmanager
def unharmed(url: str) -> Iterator[RawClient]:
    """A connection that still gets correct answers at the end."""
    with RawClient(url) as client:
        yield client
        check_served(client)


def check_served(client: RawClient) -> None:
    """A change and reads of a user of this connection get correct answers."""
    track, enforce, stats = (
        request_subject(PREFIX, verb, encode_user(client._inbox))
        for verb in ("track", "enforce", "stats")
    )
    before = client.request(stats).json()["total_calls"]
    assert client.request(track, {"provider": "exa"}).json()["usage_logged"]
    found = client.request(enforce, {"provider": "exa"}).json()
    assert found["limits"][0]["used"] == before + 1


def check_refused(reply: Message, code: str, field: str | None = None) -> None:
    """An error reply as the contract describes it."""
    error = reply.json()["error"]
    assert [error["code"], error["field"]] == [code, field]
    assert reply.headers["Nats-Service-Error-Code"].isdigit()
    assert len(reply.body) < KIB
