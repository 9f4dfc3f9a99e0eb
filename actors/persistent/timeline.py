"""The time of each user: that of the clock, but it never runs backwards and never stands.

The clock of a machine can be set. While it is behind what a user has lived through already, the
user's time goes on from there as time passes, by a clock that nobody can set: a hold of three
seconds ends after three seconds, whatever the clock shows. Other users follow the clock at once.

How far the clock is ahead of the time that has passed is its offset: a step changes it, and the
highest offset under which something happened to a user is the user's own. The position of a
user's newest event tells which that was, so nothing is kept of those who are not ahead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Final

import structlog

from actors.clock import Clock
from messages.units import to_datetime

STEP: Final = 10_000
"""From this many microseconds on the clock was set; less is how clocks are kept right."""
DRIFT: Final = 1_000
"""A clock that is kept right goes wrong by less than one part in this many."""
LOOK: Final = 100_000
"""The two clocks are compared when this many microseconds have passed, or the clock went back."""
BRACKET: Final = 1_000
"""A reading is exact if both clocks were read within this many microseconds."""
READINGS: Final = 8
STEPS_MAX: Final = 64
"""Steps that are remembered; of users who slept through more, only their newest event counts."""
AHEAD_MAX: Final = 65_536
"""Users ahead of the clock whose offsets are kept; the time of others stands between two events."""
_EVERY: Final = 2**62

_log = structlog.get_logger(__name__)


class Timeline:
    """Says what time it is, and what time it is for a user.

    Args:
        clock: that of the machine.
        next_seq: the position of the next event.

    Attributes:
        latest: what `now` said last.
        since: the time of users whose newest event is before this position may be their own.
    """

    def __init__(self, clock: Clock, next_seq: Callable[[], int]) -> None:
        self._now = clock.now
        self._elapsed = clock.elapsed
        self._next_seq = next_seq
        self._began = clock.elapsed()
        self._first = 0
        self.latest = clock.now()
        self.since = 0
        self._set(self.latest, self._began)
        self._positions: list[int] = []  # of the first events after each step
        self._offsets: list[int] = []  # before each step
        self._own: dict[str, int] = {}

    def begin(self) -> None:
        """What is in the log by now happened before this process, under a clock unknown to it."""
        self._first = self._next_seq()

    def now(self) -> int:
        """What the clock shows, in microseconds since the epoch; a step of it is noticed."""
        now = self._now()
        if not self.latest <= now < self._look_at:
            now = self._look(now)
        self.latest = now
        return now

    def of(self, user: str, newest_at: int, newest_seq: int, now: int) -> int:
        """What time it is for a user, who may be ahead of the clock, in microseconds.

        Args:
            user: the user's id.
            newest_at: the time of the newest event.
            newest_seq: its position.
            now: what `now` has just said.
        """
        elapsed = now - self._offset
        own = self._own.get(user)
        if own is None:
            own = self._offset_of(newest_at, newest_seq)
        own = max(own, newest_at - elapsed)
        if own <= self._offset:
            if self._own.pop(user, None) is not None and not self._own:
                self.since = self._stepped_at()
            return now
        self._own.pop(user, None)
        if len(self._own) >= AHEAD_MAX:
            del self._own[next(iter(self._own))]
        self._own[user] = own
        self.since = _EVERY
        return elapsed + own

    def _offset_of(self, newest_at: int, newest_seq: int) -> int:
        """The offset under which the newest event of a user happened."""
        if newest_seq < self._first:
            return newest_at - self._began  # it was not before the process began
        place = bisect_right(self._positions, newest_seq)
        return self._offsets[place] if place < len(self._offsets) else self._offset

    def _look(self, now: int) -> int:
        """Compare the clock, which shows ``now``, with the time that has passed; what it shows."""
        elapsed = self._elapsed()
        if not -STEP < now - elapsed - self._offset < STEP:
            return self._look_closely()
        self._set(now, elapsed)
        return now

    def _set(self, now: int, elapsed: int) -> None:
        self._offset = now - elapsed
        self._seen = elapsed
        self._look_at = now + LOOK

    def _look_closely(self) -> int:
        """Read both clocks exactly, and note a step if it is one; what the clock shows."""
        before, now, elapsed = self._elapsed(), self._now(), self._elapsed()
        for _ in range(READINGS):
            if elapsed - before <= BRACKET:
                break
            before, now, elapsed = self._elapsed(), self._now(), self._elapsed()
        moved = now - elapsed - self._offset
        if abs(moved) >= STEP + (elapsed - self._seen) // DRIFT:
            self._step(now, moved)
        self._set(now, elapsed)
        return now

    def _step(self, now: int, moved: int) -> None:
        _log.warning(
            "clock_stepped",
            before=to_datetime(now - moved).isoformat(),
            after=to_datetime(now).isoformat(),
            seconds=moved / 1e6,
        )
        # After a failed write the next position may be one that was given before.
        position = self._next_seq()
        self._positions = [*(min(given, position) for given in self._positions), position]
        self._offsets.append(self._offset)
        if len(self._offsets) > STEPS_MAX:
            del self._positions[0], self._offsets[0]
        if not self._own:
            self.since = self._stepped_at()

    def _stepped_at(self) -> int:
        """The position of the first event after the newest step."""
        return self._positions[-1] if self._positions else 0
