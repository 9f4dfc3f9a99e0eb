"""What the log says of a connection that nats-py and the server complain of, or that is away."""

from __future__ import annotations

import asyncio
import ssl

import nats.errors
import pytest
import structlog.testing
from nats.aio import transport

from actors.edge.connection import AddressUnusable, Connection
from actors.edge.outages import EVERY_S, REASONS_MAX, CredentialsUnreadable, Outages
from tests.support.rig import WAIT_S


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def refused(subject: str) -> Exception:
    return nats.errors.Error(f'nats: permissions violation for publish to "{subject}"')


async def test_refusals_of_subjects_that_a_caller_named_do_not_fill_the_log() -> None:
    now = Watch()
    outages = Outages(now=now)
    with structlog.testing.capture_logs() as lines:
        for number in range(1_000):
            await outages.on_error(refused(f"x{number}"))
        now.at = EVERY_S
        await outages.on_error(refused("y"))
    assert [line["untold"] for line in lines] == [0, 999]


async def test_nats_away_is_a_line_at_once_one_a_minute_and_one_at_the_end() -> None:
    now = Watch()
    outages = Outages(now=now)
    with structlog.testing.capture_logs() as lines:
        await outages.on_error(nats.errors.UnexpectedEOF())  # told when it is a loss
        outages.begin(nats.errors.UnexpectedEOF())
        for _ in range(600):  # in 150 seconds
            now.at += 0.25
            await outages.on_error(ConnectionRefusedError("nobody"))
        assert (outages.is_away, outages.reason) == (True, "nobody")
        outages.end()
        outages.end()
    assert [line["event"] for line in lines] == [
        *("nats_disconnected", "nats_away", "nats_away", "nats_reconnected")
    ]
    assert lines[-1]["attempts"] == 600
    assert (outages.is_away, outages.losses) == (False, 1)


async def test_faults_that_a_person_can_mend_are_logged_at_once_in_bounded_lines() -> None:
    outages = Outages(["secret"], now=Watch())
    reasons = [
        nats.errors.Error("nats: 'Authorization Violation'"),
        ssl.SSLError("certificate expired"),
        CredentialsUnreadable("no seed in secret"),
        *(nats.errors.Error(f"nats: {number}") for number in range(1_000)),
    ]
    with structlog.testing.capture_logs() as lines:
        outages.begin(nats.errors.UnexpectedEOF())
        for _ in range(2):
            for reason in reasons:
                await outages.on_error(reason)
    told = [line["reason"] for line in lines if line["event"] == "nats_refused"]
    assert told[:2] == ["Authorization Violation", "('certificate expired',)"]
    assert told[2] == "no seed in ***"
    assert len(told) == REASONS_MAX


async def test_a_refused_subscription_is_always_told_and_kept_for_the_figures() -> None:
    outages = Outages(now=Watch())
    why = 'permissions violation for subscription to "usage.v1.>"'
    with structlog.testing.capture_logs() as lines:
        await outages.on_error(refused("a"))
        await outages.on_error(nats.errors.Error(f"nats: {why}"))
    assert lines[-1]["error"] == why == outages.untaken


async def test_an_error_of_the_server_is_bounded_and_printable_in_the_log() -> None:
    with structlog.testing.capture_logs() as lines:
        await Outages().on_error(nats.errors.Error("a\x1b[2J" + "x" * 10_000))
    assert lines[0]["error"].isprintable()
    assert len(lines[0]["error"]) <= 200


async def test_a_server_that_is_not_there_at_a_start_is_told_in_the_same_few_lines() -> None:
    now = Watch()
    outages = Outages(server="nats://h:1", now=now)
    with structlog.testing.capture_logs() as lines:
        for _ in range(600):
            await outages.on_missing(ConnectionRefusedError("nobody"))
            now.at += 0.25
        await outages.on_missing(nats.errors.Error("nats: 'Authorization Violation'"))
        outages.end()
        outages.begin(nats.errors.UnexpectedEOF())
        outages.end()
    assert [line["event"] for line in lines] == [
        *("nats_not_connected", "nats_away", "nats_away", "nats_refused", "nats_connected"),
        *("nats_disconnected", "nats_reconnected"),
    ]
    assert lines[0]["server"] == "nats://h:1"
    assert outages.losses == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://u:Hidden@h:1", "http://h:1: not the address of a NATS server"),
        ("ws://u:Hidden@h:1", "ws://h:1: Could not import aiohttp"),
    ],
)
async def test_a_start_does_not_wait_for_what_no_server_and_no_person_can_bring_meanwhile(
    url: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "aiohttp", None)  # as if it were not installed
    with pytest.raises(AddressUnusable, match=f"^cannot connect to NATS at {why}"):
        async with asyncio.timeout(WAIT_S):
            await Connection.connect(url, {}, name="meterd", patient=True)
