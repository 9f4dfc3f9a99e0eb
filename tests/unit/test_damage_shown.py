"""What `meterd verify` shows people: one block for each damage, and one for each user."""

from __future__ import annotations

from actors.audit.findings import Finding, days_of
from actors.cli.damage import USERS_MAX, blocks

DO = "meterd mend"


def test_a_damage_is_one_block_with_users_days_and_what_to_do() -> None:
    users = tuple(f"user {n}" for n in range(USERS_MAX + 2))
    damage = Finding("", "", "row 5", "why", "a.db", "row 5", (5, 5), users, ("d1", "d2"), do=DO)
    (shown,) = blocks([damage])
    named = ", ".join(users[:USERS_MAX])
    assert shown.splitlines() == [
        "a.db, row 5: why",
        f"  users: {named} and 2 more",
        "  days (UTC): d1 to d2",
        "  to do: meterd mend",
    ]


def test_all_that_differs_of_a_user_is_one_block_behind_what_is_damaged() -> None:
    found = [
        Finding("bob", "2026-03", "errors", "one", do=DO),
        Finding("", "", "mark", "why", "a.mark", "the whole file", days=("d", "d")),
        Finding("bob", "", "at", "two", do=DO),
    ]
    assert [block.splitlines() for block in blocks(found)] == [
        ["a.mark, the whole file: why", "  days (UTC): d"],
        ["user bob:", "  2026-03, errors: one", "  at: two", "  to do: meterd mend"],
    ]


def test_days_are_those_of_moments_that_are_some() -> None:
    day = 86_400_000_000
    assert days_of(day, 3 * day) == ("1970-01-02", "1970-01-04")
    assert days_of(3 * day, day) == ("1970-01-02", "1970-01-04")
    assert days_of(None, day) == ("1970-01-02", "1970-01-02")
    assert days_of(None, "text") is None
    assert days_of(1 << 62, day) is None
