from __future__ import annotations

import nats.errors
import structlog.testing

from actors.edge.connection import QUIET_S, _Complaints


def refusal(number: int) -> nats.errors.Error:
    text = f'nats: permissions violation for publish to "_inbox_other.{number}"'
    return nats.errors.Error(text)


async def test_refusals_of_the_server_cannot_fill_the_log() -> None:
    now = 100.0
    complaints = _Complaints()
    complaints._now = lambda: now
    with structlog.testing.capture_logs() as lines:
        for number in range(1_000):
            await complaints.tell(refusal(number))
        await complaints.tell(nats.errors.StaleConnectionError())  # any other is told at once
        for number in range(5):
            await complaints.tell(refusal(number))
        now += QUIET_S
        await complaints.tell(refusal(0))
    assert [line["untold"] for line in lines] == [0, 999, 5]
    assert "_inbox_other.0" in lines[0]["error"]
    assert "stale" in lines[1]["error"]


async def test_what_a_server_says_is_bounded_and_printable_in_the_log() -> None:
    with structlog.testing.capture_logs() as lines:
        await _Complaints().tell(nats.errors.Error("a\x1b[2J" + "x" * 10_000))
    assert lines[0]["error"].isprintable()
    assert len(lines[0]["error"]) <= 200
