"""A user's time: that of the clock, but it never runs backwards and never stands."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from actors.persistent.timeline import AHEAD_MAX, STEP, STEPS_MAX, Timeline
from tests.support.meter import NOON
from tests.support.rig import Logs, SetClock

S = 1_000_000
HOUR = 3_600 * S


@dataclass
class Life:
    """A process with a log of so many events; a user's newest event by name."""

    clock: SetClock = field(default_factory=SetClock)
    next_seq: int = 100
    newest: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.times = Timeline(self.clock, lambda: self.next_seq)
        self.times.begin()

    def time(self, user: str = "alice") -> int:
        """What the actor takes for now."""
        at, seq = self.newest.get(user, (0, 0))
        now = self.times.now()
        if now <= at or seq < self.times.since:
            return self.times.of(user, at, seq, now)
        return now

    def event(self, user: str = "alice") -> int:
        at = self.time(user)
        self.newest[user] = at, self.next_seq
        self.next_seq += 1
        return at

    def passes(self, micros: int) -> None:
        self.clock.at += micros


def test_a_users_time_goes_on_where_it_stands_when_the_clock_is_set_back() -> None:
    life = Life()
    life.passes(HOUR)
    life.event()
    life.clock.step(-HOUR)
    for _ in range(3):
        before = life.time()
        life.passes(3 * S)
        assert life.time() == before + 3 * S
    assert life.time("bob") == life.clock.at


def test_the_time_before_the_step_is_not_lost() -> None:
    life = Life()
    life.event()
    life.passes(10 * 60 * S)
    life.time()
    life.clock.step(-590 * S)
    life.passes(S)
    assert life.time() == NOON + 601 * S


def test_a_user_who_comes_back_after_the_clock_has_passed_the_newest_event_is_ahead_still() -> None:
    life = Life()
    at = life.event()
    life.clock.step(-HOUR)
    assert life.time() == at
    life.event()
    life.passes(2 * HOUR)
    assert life.time() == at + 2 * HOUR


def test_when_the_clock_is_put_right_again_a_user_follows_it() -> None:
    life = Life()
    life.event()
    life.clock.step(-HOUR)
    life.event()
    life.clock.step(HOUR + S)
    assert life.time() == life.clock.at
    life.event()
    assert life.times.since <= life.newest["alice"][1]  # and costs nothing more


def test_users_who_slept_through_a_wrong_clock_are_not_taken_along() -> None:
    life = Life()
    life.event("early")
    life.clock.step(400 * 24 * HOUR)
    life.event("unlucky")
    life.clock.step(-400 * 24 * HOUR)
    life.passes(S)
    assert life.time("early") == life.time("new") == life.clock.at
    assert life.time("unlucky") == life.clock.at + 400 * 24 * HOUR


def test_over_a_restart_a_users_time_goes_on_from_the_newest_event() -> None:
    life = Life()
    life.newest["alice"] = NOON + HOUR, 50
    life.passes(3 * S)
    assert life.time() == NOON + HOUR + 3 * S
    life.event()
    life.passes(2 * HOUR)
    assert life.time() == NOON + 3 * HOUR + 3 * S


def test_each_step_is_one_warning_that_names_it(lines: Logs) -> None:
    life = Life()
    for by in (-HOUR, 2 * HOUR):
        life.clock.step(by)
        life.time()
        life.time()
    found = [line for line in lines if line["event"] == "clock_stepped"]
    assert [line["seconds"] for line in found] == [-3600.0, 7200.0]
    assert found[0]["before"] == "2026-03-15T12:00:00+00:00"
    assert found[0]["after"] == "2026-03-15T11:00:00+00:00"
    assert {line["log_level"] for line in found} == {"warning"}


def test_a_clock_that_is_kept_right_is_no_step(lines: Logs) -> None:
    life = Life()
    for _ in range(1000):
        life.passes(S)
        life.clock.step(-500)
        life.event()
    life.passes(24 * HOUR)
    life.clock.step(-20 * S)  # by one part in four thousand, while nobody asked
    life.time()
    assert not [line for line in lines if line["event"] == "clock_stepped"]


def test_the_steps_and_users_that_are_kept_are_bounded() -> None:
    life = Life()
    for _ in range(3 * STEPS_MAX):
        life.event()
        life.clock.step(-STEP)
        life.time()
    assert len(life.times._positions) == len(life.times._offsets) == STEPS_MAX
    life.clock.step(-HOUR)
    for n in range(AHEAD_MAX + 10):
        life.times.of(f"u{n}", life.clock.at + 2 * HOUR, life.next_seq, life.times.now())
    assert len(life.times._own) == AHEAD_MAX


def test_time_of_a_user_never_runs_backwards_whatever_the_clock_does() -> None:
    for seed in range(50):
        rng = random.Random(seed)
        life, seen = Life(), dict.fromkeys("abc", 0)
        for _ in range(200):
            user = rng.choice("abc")
            chosen = rng.random()
            if chosen < 0.2:
                life.clock.step(rng.choice([-1, 1]) * rng.choice([5_000, S, HOUR, 30 * 24 * HOUR]))
            elif chosen < 0.4:
                life.passes(rng.choice([1, S, HOUR]))
            elif chosen < 0.45:
                life.next_seq = max(life.next_seq - 1, 100)  # a write failed
                life.newest = {
                    name: found for name, found in life.newest.items() if found[1] < life.next_seq
                }
                seen = {name: life.newest.get(name, (0, 0))[0] for name in seen}
            at = life.event(user) if chosen > 0.7 else life.time(user)
            floor = life.newest.get(user, (0, 0))[0] if chosen <= 0.7 else seen[user]
            assert at >= floor, seed
            if chosen > 0.7:
                seen[user] = at
