from __future__ import annotations

from persistence.sqlite.write_placement import (
    NS_PER_ROW,
    PAUSE_MAX_NS,
    PAUSE_NS,
    ROWS_MAX,
    SLOW_NS,
    STALL_NS,
    WritePlacement,
)


class Ticks:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_a_small_block_is_written_on_the_loop_and_a_large_one_in_the_thread() -> None:
    pace = WritePlacement(Ticks())
    assert pace.starts_here(1)
    assert pace.starts_here(ROWS_MAX)
    assert not pace.starts_here(ROWS_MAX + 1)


def test_without_a_clock_every_block_goes_to_the_thread() -> None:
    assert not WritePlacement(None).starts_here(1)


def test_after_a_slow_write_the_thread_takes_over_for_a_while() -> None:
    ticks = Ticks()
    pace = WritePlacement(ticks)
    for rows in (1, ROWS_MAX):
        assert pace.starts_here(rows)
        ticks.now += SLOW_NS + rows * NS_PER_ROW
        pace.ended()
    assert pace.starts_here(1)
    ticks.now += SLOW_NS + NS_PER_ROW + 1
    pace.ended()
    assert not pace.starts_here(1)
    ticks.now += PAUSE_NS - 1
    assert not pace.starts_here(1)
    ticks.now += 1
    assert pace.starts_here(1)


def write(pace: WritePlacement, ticks: Ticks, took: int) -> None:
    assert pace.starts_here(1)
    ticks.now += took
    pace.ended()


def paused(pace: WritePlacement, ticks: Ticks) -> int:
    """How long the thread takes over from now on, to the step of a shortest pause."""
    start = ticks.now
    while not pace.starts_here(1):
        ticks.now += PAUSE_NS
    return ticks.now - start


def test_on_a_disk_that_stays_slow_the_loop_tries_less_and_less_often_and_then_as_often() -> None:
    ticks = Ticks()
    pace = WritePlacement(ticks)
    found = []
    for _ in range(9):
        write(pace, ticks, SLOW_NS + NS_PER_ROW + 1)
        found.append(paused(pace, ticks))
    assert found == [PAUSE_NS * 2**n for n in range(7)] + [PAUSE_MAX_NS] * 2


def test_after_a_quick_write_the_next_pause_is_short_again() -> None:
    ticks = Ticks()
    pace = WritePlacement(ticks)
    for _ in range(3):
        write(pace, ticks, SLOW_NS + NS_PER_ROW + 1)
        paused(pace, ticks)
    write(pace, ticks, 1)
    write(pace, ticks, SLOW_NS + NS_PER_ROW + 1)
    assert paused(pace, ticks) == PAUSE_NS


def test_after_a_stall_the_thread_writes_until_it_wrote_without_one() -> None:
    ticks = Ticks()
    pace = WritePlacement(ticks)
    write(pace, ticks, STALL_NS + NS_PER_ROW + 1)
    for _ in range(3):  # however long that takes: the loop would stand again
        ticks.now += 2 * PAUSE_MAX_NS
        assert not pace.starts_here(1)
        began = pace.began()
        ticks.now += STALL_NS + NS_PER_ROW + 1
        pace.ended_beside(1, began)
    ticks.now += 2 * PAUSE_MAX_NS
    assert not pace.starts_here(1)
    pace.ended_beside(1, pace.began())
    assert pace.starts_here(1)


def test_a_stall_in_the_thread_keeps_the_writes_there() -> None:
    ticks = Ticks()
    pace = WritePlacement(ticks)
    began = pace.began()
    ticks.now += STALL_NS + ROWS_MAX * NS_PER_ROW
    pace.ended_beside(ROWS_MAX, began)
    assert pace.starts_here(1)
    began = pace.began()
    ticks.now += STALL_NS + NS_PER_ROW + 1
    pace.ended_beside(1, began)
    assert not pace.starts_here(1)
