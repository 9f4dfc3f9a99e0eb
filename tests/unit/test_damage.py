"""What is said of damage: which file and place, what to do, and each place once."""

from __future__ import annotations

import pytest
import structlog.testing

from actors.runtime.unreadable import refusal_of
from messages.stored.errors import Unreadable, UnreadableEvent, made_of
from persistence.damage import LOG, Damage, Told, damaged_of, in_full
from persistence.errors import (
    ArchiveDamaged,
    ArchiveGone,
    Corrupt,
    Damaged,
    JournalError,
    NotStored,
    Unavailable,
)
from persistence.sqlite.data_dir import DATABASE

DAMAGED = Damaged("meterd.db", "rows 17 to 20", "run meterd mend", first=17, last=20)


def lines_of(told: Told, *errors: Damage, user: str | None = None) -> list[dict[str, object]]:
    with structlog.testing.capture_logs() as lines:
        for error in errors:
            told.tell(error, user)
    return [dict(line) for line in lines]


def test_the_file_of_the_log_is_the_one_that_the_journal_has() -> None:
    assert LOG == DATABASE


def test_a_place_is_told_of_once_whoever_meets_it() -> None:
    told = Told()
    again = Damaged("meterd.db", "rows 17 to 20", "something else", first=17, last=20)
    assert lines_of(told, DAMAGED, again, DAMAGED, user="alice") == [
        {
            "event": "damaged",
            "log_level": "error",
            "file": "meterd.db",
            "place": "rows 17 to 20",
            "first": 17,
            "last": 20,
            "do": "run meterd mend",
            "user": "alice",
        }
    ]
    assert lines_of(told, DAMAGED) == []
    other = Damaged("index.db", "rows 17 to 20", "", first=17, last=20)
    assert [line["file"] for line in lines_of(told, other)] == ["index.db"]


def test_damage_without_a_position_is_told_apart_by_what_is_said_of_it() -> None:
    lines = lines_of(Told(), *map(Corrupt, ("one", "two", "one", "two")))
    assert [(line["file"], line["why"]) for line in lines] == [
        ("meterd.db", "one"),
        ("meterd.db", "two"),
    ]


def test_what_is_remembered_is_bounded_and_a_line_says_that_there_is_more() -> None:
    told = Told(places_max=3)
    places = [Damaged("meterd.db", f"row {n}", "mend", first=n) for n in range(100)]
    lines = lines_of(told, *places, *places)
    assert [line["event"] for line in lines] == [*["damaged"] * 3, "damaged_further"]
    assert lines[-1]["places"] == 3
    assert len(told._places) == 3


@pytest.mark.parametrize(
    ("error", "place", "first"),
    [
        (DAMAGED, "rows 17 to 20", 17),
        (UnreadableEvent("usage", "no provider", 7), "row 7", 7),
        (UnreadableEvent("usage", "no provider"), "a part", None),
        (Unreadable("short"), "a part", None),
        (Corrupt("database disk image is malformed"), "a part", None),
        (ArchiveDamaged("the archive a is not as it was written"), "a file", None),
    ],
)
def test_all_damage_says_which_file_and_what_to_do(
    error: Damage, place: str, first: int | None
) -> None:
    damaged = damaged_of(error)
    assert (damaged.place, damaged.first) == (place, first)
    assert damaged.file
    assert "meterd" in damaged.do
    refusal = refusal_of(error, "not said")
    assert (refusal.code, refusal.retryable, refusal.retry_after) == ("unavailable", False, None)
    assert "malformed" not in refusal.message
    assert "no provider" not in refusal.message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Unavailable("disk I/O error"), "the usual"),
        (NotStored("full"), "the usual"),
        (ArchiveGone("the archive a is not there"), "not executed: the archive a is not there"),
        (ValueError("a defect"), "the usual"),
    ],
)
def test_what_is_no_damage_may_succeed_later(error: Exception, message: str) -> None:
    refusal = refusal_of(error, "the usual")
    assert (refusal.code, refusal.retryable, refusal.message) == ("unavailable", True, message)
    assert refusal.retry_after is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DAMAGED, "rows 17 to 20 of meterd.db are not as they were written: run meterd mend"),
        (Unavailable("disk I/O error"), "disk I/O error"),
    ],
)
def test_one_line_says_of_damage_what_to_do(error: JournalError, said: str) -> None:
    assert in_full(error) == said


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), TypeError(), OverflowError()])
def test_what_does_not_fit_an_event_is_an_unreadable_row(error: Exception) -> None:
    with pytest.raises(UnreadableEvent) as caught, made_of("usage", 7):
        raise error
    assert (caught.value.kind, caught.value.seq) == ("usage", 7)
    assert type(error).__name__ in caught.value.why


def test_what_is_no_misfit_passes() -> None:
    with pytest.raises(RuntimeError), made_of("usage", 7):
        raise RuntimeError
    with pytest.raises(UnreadableEvent, match="row 3"), made_of("usage", 7):
        raise UnreadableEvent("usage", "why", 3)
