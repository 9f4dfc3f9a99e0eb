"""At debug each request has one line: who asked what, how it went, how long it took."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from actors.edge.fence import LOST
from messages.subjects import PREFIX
from tests.support.faults import Fault
from tests.support.meter import NOON
from tests.support.rig import Logs, Rig, SetClock, Start

PAST = "2020-01-01T00:00:00Z"


@pytest.fixture
async def rig(start: Start) -> Rig:
    """A service that logs each request."""
    return await start(log_level="debug")


def requests(lines: Logs) -> list[dict[str, Any]]:
    """The lines of requests, without what capturing adds and how long they took."""
    found = [dict(line) for line in lines if line["event"] == "request"]
    assert {line.pop("log_level") for line in found} <= {"debug"}
    for line in found:
        assert line.pop("ms") >= 0
        del line["event"]
    return found


def told(verb: str, outcome: str, user: str | None = "alice", **counts: int) -> dict[str, Any]:
    about = {} if user is None else {"user": user}
    return {"verb": verb, "outcome": outcome, **about, **counts}


async def test_an_outcome_is_ok_duplicate_or_the_code_of_the_error(rig: Rig, lines: Logs) -> None:
    await rig.ask("track", provider="exa", event_id="k")
    await rig.ask("track", provider="exa", event_id="k")
    await rig.ask("track", provider="tavily", event_id="k")
    await rig.ask("track", provider="nobody")
    await rig.ask("stats", deadline=PAST)
    await rig.ask("enforce", "bob", provider="exa")
    assert requests(lines) == [
        told("track", "ok"),
        told("track", "duplicate"),
        told("track", "idempotency_mismatch"),
        told("track", "unknown_provider"),
        told("stats", "deadline_exceeded"),
        told("enforce", "ok", "bob"),
    ]


async def test_many_in_one_are_one_request_and_a_batch_is_told_by_number(
    rig: Rig, lines: Logs
) -> None:
    events = [{"provider": "exa", "event_id": "k"}, {"provider": "nobody"}]
    await rig.ask("batch", events=[events[0]])
    await rig.ask("batch", events=events)
    await rig.ask("batch", events=[events[0]])
    await rig.ask("preflight", operations=[{"provider": "exa"}], hold={})
    assert requests(lines) == [
        told("batch", "ok", accepted=1, duplicates=0, rejected=0),
        told("batch", "duplicate", accepted=0, duplicates=1, rejected=1),
        told("batch", "duplicate", accepted=0, duplicates=1, rejected=0),
        told("preflight", "ok"),
    ]


async def test_a_refusal_of_the_edge_is_logged_and_quoted_text_is_clipped(
    rig: Rig, lines: Logs
) -> None:
    hostile = "=1B[2J\n\x85\u202e" + 400 * "x"
    for subject in ("track.alice", "nothing", f"stats.{hostile}", f"{hostile}.alice", "stats"):
        payload = b"{" if subject == "track.alice" else b""
        await rig.answer(rig.deliver(f"{PREFIX}.{subject}", payload))
    first, unknown, user, verb, nobody = requests(lines)
    assert first == told("track", "invalid_request")
    assert unknown == told("nothing", "unknown_verb", None)
    assert (user["verb"], user["outcome"]) == ("stats", "invalid_user")
    assert nobody == told("stats", "invalid_user", None)
    for text in (user["user"], verb["verb"]):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) == 200


async def test_requests_on_the_catalogue_name_nobody(rig: Rig, lines: Logs) -> None:
    await rig.catalog("plans.list")
    await rig.catalog("prices.put", provider="exa")
    assert requests(lines) == [
        told("catalog.plans.list", "ok", None),
        told("catalog.prices.put", "invalid_request", None),
    ]


async def test_a_request_that_wants_no_answer_is_logged_and_other_messages_are_not(
    rig: Rig, lines: Logs
) -> None:
    rig.deliver(f"{PREFIX}.track.alice", b'{"provider": "exa"}', reply="")
    await rig.idle()
    assert requests(lines) == [told("track", "ok")]
    rig.deliver(f"{PREFIX}.alert.alice.calls.80", b"{}", reply="")
    rig.deliver(f"{PREFIX}.alert.alice.calls.80", b"{}", answered=False)
    rig.deliver(f"{PREFIX}.nothing.at.all", b"{}", reply="")
    rig.deliver(f"{PREFIX}.track.bob", headers=b"NATS/1.0 503\r\n\r\n", answered=False)
    assert len(requests(lines)) == 1
    assert rig.service._requests is not None
    assert rig.service._requests._asked == {}


async def test_requests_that_wait_or_fail_are_told_when_they_are_answered(
    rig: Rig, lines: Logs
) -> None:
    rig.journal.appends.close()
    one = rig.track("alice")
    await rig.journal.appends.waiting.wait()
    two = rig.send("stats", "alice")
    assert requests(lines) == []
    rig.journal.fail_appends(Fault.NOT_STORED)
    rig.journal.appends.open()
    await rig.answers(one, two)
    assert requests(lines) == [told("track", "unavailable"), told("stats", "unavailable")]


async def test_a_refusal_of_a_stop_is_logged(rig: Rig, lines: Logs) -> None:
    await rig.ask("stats")
    deliver = rig.link.deliver
    assert deliver is not None
    await rig.stop()
    deliver(f"{PREFIX}.stats.alice".encode(), b"late", b"", b"")
    assert requests(lines)[1:] == [told("stats", "unavailable")]


async def test_a_refusal_of_a_fence_is_logged(rig: Rig, lines: Logs) -> None:
    for subject in ("track.alice", "catalog.plans.list", "alert.alice.calls.80"):
        rig.service._refuse(f"{PREFIX}.{subject}".encode(), b"there", LOST)
    assert requests(lines) == [
        told("track", "unavailable"),
        told("catalog.plans.list", "unavailable", None),
    ]


async def test_requests_of_operators_are_told(rig: Rig, lines: Logs) -> None:
    for about in ("forget.alice", "rebuild.=zz", "snapshot.live", "archive.tomorrow"):
        verb, _, token = about.partition(".")
        listened = f"{PREFIX}.ctl.{about if verb == 'snapshot' else f'{verb}.*'}"
        message = SimpleNamespace(subject=f"{PREFIX}.ctl.{about}", reply=about)
        await rig.link.heard[listened](message)
        await rig.answer(about)
        assert token
    assert requests(lines) == [
        told("ctl.forget", "ok"),
        told("ctl.rebuild", "invalid_user", "=zz"),
        told("ctl.snapshot", "ok", None),
        told("ctl.archive", "invalid_request", None),
    ]


async def test_the_time_is_from_the_arrival_to_the_answer(start: Start, lines: Logs) -> None:
    class Measuring(SetClock):
        spent = 0

        def ticks(self) -> int:
            return self.spent

    clock = Measuring(NOON)
    rig = await start(clock=clock, log_level="debug")
    rig.journal.appends.close()
    asked = rig.track()
    await rig.journal.appends.waiting.wait()
    clock.spent += 12_345_678
    rig.journal.appends.open()
    await rig.answer(asked)
    (line,) = [line for line in lines if line["event"] == "request"]
    assert line["ms"] == 12.346


async def test_no_line_has_what_a_call_says_of_persons(rig: Rig, lines: Logs) -> None:
    about = {"user_agent": "a-curl", "ip_address": "10.1.2.3", "error_message": "an oh"}
    await rig.ask("track", provider="exa", **about, metadata={"a-team": "red"})
    await rig.ask("batch", events=[{"provider": "exa", **about}])
    await rig.ask("track", provider="nobody", **about)
    await rig.ask("logs")
    said = json.dumps([dict(line) for line in lines])
    for text in (*about.values(), "a-team"):
        assert text not in said


async def test_at_info_no_request_is_so_much_as_looked_at(start: Start, lines: Logs) -> None:
    rig = await start(log_level="info")
    service = rig.service
    assert service._requests is None
    assert service._shedder._deliver == service._edge.deliver == rig.link.deliver
    assert service._edge._replies is rig.link.replies
    await rig.ask("track", provider="exa")
    await rig.ask("stats", deadline=PAST)
    assert requests(lines) == []
