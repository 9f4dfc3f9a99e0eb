"""Periods of users whose bytes are damaged stay open, and nobody else's does."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from actors.maintenance import closing
from actors.maintenance.closing import LOOK_S
from tests.runtime.test_closing import APRIL, DAY, run, stand_at, started, told, wait
from tests.support.damage import break_reads, damaged
from tests.support.meter import micros


def test_damaged_users_hold_up_no_other_however_many_and_the_next_start_asks_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(closing, "FAILED_MAX", 5)
    rotten = [f"a{number}" for number in range(20)]

    async def test() -> None:
        rig = await started(idle_s=5.0)
        for user in (*rotten, "b"):
            await rig.ask("track", user, provider="gemini")
        await wait(60)
        with monkeypatch.context() as patch, capture_logs() as lines:
            tried = break_reads(patch, rig.journal, damaged(), users=rotten)
            stand_at(rig, APRIL)
            await wait(2 * LOOK_S)
            assert told(rig) == [("period_closed", "b", "2026-03")]
            reads = tried.total()
            await rig.ask("track", "c", provider="gemini")
            await wait(3600)
            assert tried.total() == reads  # each was asked once
            stand_at(rig, micros("2026-05-01T00:00:00Z"))
            await wait(2 * LOOK_S)
            assert told(rig)[1:] == [("period_closed", "c", "2026-04")]
        assert [line["event"] for line in lines if line["log_level"] == "error"] == ["damaged"]
        rig = await started(await rig.crash(), at=rig.clock.now() + 10 * DAY)
        await wait(2 * LOOK_S)
        assert {user for _, user, _ in told(rig)} >= {*rotten}
        await rig.stop()

    run(test())


def test_an_index_of_ends_that_is_damaged_is_said_once_and_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        rig = await started()
        await rig.ask("track", "a", provider="gemini")
        with monkeypatch.context() as patch, capture_logs() as lines:

            async def broken(*_: object) -> None:
                raise damaged()

            patch.setattr(rig.journal, "ended", broken)
            stand_at(rig, APRIL)
            await wait(3600)
        events = [line["event"] for line in lines if line["log_level"] != "info"]
        assert events.count("damaged") == 1
        assert 1 < events.count("closing_postponed") <= 61  # once a minute
        (first, *_) = [line for line in lines if line["event"] == "closing_postponed"]
        assert "meterd mend" in first["error"]
        await wait(2 * LOOK_S)
        assert told(rig) == [("period_closed", "a", "2026-03")]
        await rig.stop()

    run(test())
