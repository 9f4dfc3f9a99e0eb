"""An overload in virtual time: the load shedder against a queue that it cannot see."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable
from math import log

import pytest

from actors.edge.load_shedding import BYTES_MAX
from tests.support.queueing import US, Answered, Arrivals, S, World
from tests.support.rig import Logs

TOP = 38_000
"""Calls a second that the service takes, by the costs of `World`."""
WAITING_MAX = 32_768
MS = 1_000 * US
USERS = [f"u{n}" for n in range(200)]


def arrivals(seconds: float, rate: float, *, hot: float = 0.0, start: float = 0.0) -> Arrivals:
    """So many a second at random moments; ``hot`` of them of one user."""
    draw = random.Random(f"{seconds} {rate} {hot}").random
    at, end, mean = start * S + 7 * MS, (start + seconds) * S + 7 * MS, S / rate
    while (at := at - log(1 - draw()) * mean) < end:
        yield int(at), "hot" if draw() < hot else USERS[int(draw() * len(USERS))]


def p99(answers: Iterable[Answered]) -> float:
    """In milliseconds."""
    took = sorted(answer.took for answer in answers)
    return took[int(len(took) * 0.99)] / MS


def accepted(answers: Iterable[Answered]) -> list[Answered]:
    return [answer for answer in answers if not answer.refused]


def between(answers: Iterable[Answered], start: float, end: float) -> list[Answered]:
    """Those that were given in a span of seconds."""
    return [a for a in answers if start * S <= a.at + a.took - 7 * MS < end * S]


async def test_a_load_that_the_service_can_take_is_never_refused() -> None:
    world = World(WAITING_MAX)
    world.run(arrivals(1, TOP * 0.9))
    assert not any(answer.refused for answer in world.answers)
    assert p99(world.answers) < 40
    assert not world.shedder.strict


async def test_as_many_as_may_wait_are_let_in_however_long_they_take() -> None:
    world = World(WAITING_MAX)
    world.run((7 * MS, f"u{n % 50}") for n in range(WAITING_MAX))
    assert not any(answer.refused for answer in world.answers)
    assert p99(world.answers) > 500


async def test_of_more_at_once_the_rest_is_refused_at_once() -> None:
    world = World(WAITING_MAX)
    world.run((7 * MS, f"u{n % 50}") for n in range(3 * WAITING_MAX))
    refused = [answer for answer in world.answers if answer.refused]
    assert len(refused) > 1.9 * WAITING_MAX
    assert p99(refused) < 300


async def test_each_refusal_is_told_to_who_wants_to_know() -> None:
    world, told = World(WAITING_MAX), Counter[tuple[str, str]]()
    world.shedder._on_refused = lambda route, code: told.update([(route.verb, code)])
    world.run((7 * MS, f"u{n % 50}") for n in range(WAITING_MAX + 2_000))
    refused = sum(answer.refused for answer in world.answers)
    assert refused > 1_000
    assert told == {("track", "overloaded"): refused}


async def test_headers_that_wait_are_bounded_as_bodies_are() -> None:
    world = World(WAITING_MAX)
    for number in range(12):
        headers = b"x" * (BYTES_MAX // 8)
        world._sent[b"%d" % number] = ("alice", world.at)
        world.shedder.hold(b"usage.v1.track.alice", b"%d" % number, b"{}", headers)
    assert world.shedder.waiting == 8
    assert [answer.refused for answer in world.answers] == [True] * 4


async def test_at_ten_times_too_much_load_accepted_requests_are_done_within_250_ms() -> None:
    world = World(WAITING_MAX)
    world.run(arrivals(0.6, 10 * TOP))
    assert len(world.answers) > 0.6 * 9.9 * TOP  # each had its answer
    done = accepted(world.answers)
    assert p99(done) < 250
    assert p99([answer for answer in world.answers if answer.refused]) < 250
    # To read and refuse them all takes two thirds of the time.
    assert len(between(done, 0.3, 0.6)) > 0.28 * 0.3 * TOP
    assert world.most <= WAITING_MAX + 512


async def test_of_twice_too_much_nearly_all_that_can_be_done_is_done() -> None:
    world = World(WAITING_MAX)
    world.run(arrivals(1.5, 2 * TOP))
    assert len(between(accepted(world.answers), 1, 1.5)) > 0.8 * 0.5 * TOP
    late = [answer for answer in accepted(world.answers) if answer.took > 250 * MS]
    assert len(late) <= WAITING_MAX  # those that waited before the first was refused


async def test_a_second_after_the_load_everything_is_let_in_and_quick() -> None:
    world = World(WAITING_MAX)

    def load() -> Arrivals:
        yield from arrivals(0.25, 10 * TOP)
        yield from arrivals(1.5, 0.8 * TOP, start=0.25)

    world.run(load())
    after = [answer for answer in world.answers if answer.at > 1.25 * S]
    assert len(after) > 0.5 * 0.9 * 0.8 * TOP
    assert not any(answer.refused for answer in after)
    assert p99(after) < 40
    assert not world.shedder.strict


async def test_one_user_with_nine_tenths_of_too_much_is_refused_before_the_others() -> None:
    # Without the hot user the others would take half of the time.
    world = World(WAITING_MAX)
    world.run(arrivals(0.8, 5 * TOP, hot=0.9))
    others = between([a for a in world.answers if a.user != "hot"], 0.4, 0.8)
    hot = between([a for a in world.answers if a.user == "hot"], 0.4, 0.8)
    assert len(accepted(others)) > 0.95 * len(others)
    assert p99(accepted(others)) < 100
    assert 0 < len(accepted(hot)) < 0.2 * len(hot)


async def test_after_a_standstill_of_seconds_an_overload_begins_and_ends_once(
    lines: Logs,
) -> None:
    world = World(WAITING_MAX)
    coming = arrivals(2.5, 2 * TOP)
    world.run(itertools.takewhile(lambda one: one[0] < 50 * MS, coming))
    world.at += 2 * S  # the machine gives the service no time, and more arrives than may wait
    world.run(coming)
    world.run(arrivals(4, 100, start=world.at / S))
    events = [line["event"] for line in lines]
    assert events == ["overload_begins", "overload_ends"]


async def test_a_lost_connection_leaves_no_age_behind() -> None:
    world = World(WAITING_MAX)
    world.run(arrivals(0.2, 3 * TOP))
    world._queue.clear()  # with the answers of PINGs
    world.losses += 1
    world.at += 10 * S
    start = world.at / S
    world.run(arrivals(1, 0.5 * TOP, start=start))
    assert not any(answer.refused for answer in world.answers)
    assert p99([answer for answer in world.answers if answer.at > start * S]) < 40


@pytest.mark.parametrize("way_ms", [25, 300])
async def test_a_server_that_is_far_away_is_no_overload(way_ms: int) -> None:
    world = World(WAITING_MAX, way=way_ms * MS)
    world.run(arrivals(1, 0.5 * TOP))
    assert not any(answer.refused for answer in world.answers)
    assert p99(world.answers) < 40
    world.run(arrivals(0.5, 5 * TOP, start=world.at / S))
    assert world.shedder.strict
    world.run(arrivals(1.25, 0.5 * TOP, start=world.at / S))
    assert not world.shedder.strict


async def test_some_requests_are_let_in_also_if_the_server_itself_is_slow() -> None:
    world = World(1_000)
    world.run((7 * MS, f"u{n % 50}") for n in range(3_000))
    world.way = S  # from now on, so that all seems to have waited for a second
    start = world.at / S
    world.run(arrivals(1, 0.5 * TOP, start=start))
    done = between(accepted(world.answers), start + 0.5, start + 1)
    assert len(done) > 300
