"""Which request a permission violation is about, and which answers are not meterd's."""

from __future__ import annotations

import asyncio

import pytest

from messages.client.blocked import Blocked, check_answer
from messages.errors import AnswerBlocked, NotPermitted

VIOLATION = 'nats: permissions violation for publish to "{}"'


async def refused(violation: str, *subjects: str) -> list[str]:
    """The subjects whose requests were ended."""
    blocked = Blocked(object())
    scopes = [asyncio.timeout(600) for _ in subjects]
    found: list[str] = []

    async def wait(scope: asyncio.Timeout, subject: str) -> None:
        blocked.waits(scope, "Usage.v1", subject)
        try:
            async with scope:
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            error = blocked.why(scope, None)
            assert isinstance(error, NotPermitted)
            found.append(error.subject)
        finally:
            blocked.done(scope)

    tasks = [asyncio.create_task(wait(*pair)) for pair in zip(scopes, subjects, strict=True)]
    await asyncio.sleep(0)
    blocked.on_error(violation)
    for _ in range(5):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return found


@pytest.mark.parametrize("token", ["Usage.v1.track.Al", "Usage.v1.p.17.track.Al"])
async def test_a_violation_ends_the_requests_of_its_subject_as_sent_or_as_mapped(
    token: str,
) -> None:
    others = ("Usage.v1.track.bob", "Usage.v1.stats.Al", "Usage.v1.p.track.Al")
    ended = await refused(VIOLATION.format(token.lower()), "Usage.v1.track.Al", *others)
    assert ended == ["Usage.v1.track.Al"]


@pytest.mark.parametrize(
    "text",
    [
        VIOLATION.format("usage.v1.track.al"),  # two users are waiting who differ by case
        VIOLATION.format("usage.v1.p.x.track.al"),
        VIOLATION.format("other"),
        'nats: permissions violation for subscription to "x"',
        "nats: authorization violation",
        "",
    ],
)
async def test_any_other_complaint_ends_no_request(text: str) -> None:
    assert await refused(text, "Usage.v1.track.Al", "Usage.v1.track.AL") == []


@pytest.mark.parametrize(
    "data", [b"{}", b'{"seq":1}', b'{"stream":', b'{"stream":1}', b'{"error":{}}', b"\xff"]
)
def test_an_answer_that_is_no_puback_is_let_through(data: bytes) -> None:
    check_answer(data, "s", None)


@pytest.mark.parametrize(
    "data",
    [b'{"stream":"MINE", "seq":1}', b'{"error":{"code":503},"stream":"MINE","seq":0}'],
)
def test_a_puback_is_named_with_its_stream(data: bytes) -> None:
    with pytest.raises(AnswerBlocked, match="MINE captures usage") as found:
        check_answer(data, "usage.v1.track.a", "key")
    assert found.value.event_id == "key"
