"""What a journal is told of the rows: every kind has its place."""

from __future__ import annotations

from messages.stored.detail import UsageDetail
from messages.stored.events import (
    KIND,
    Personal,
    UsageRecorded,
)
from messages.stored.form import FORM, STORAGE, Storage
from messages.stored.view import USAGE

ELSEWHERE = {"seq", "user_id", "event_id"}
NOT_SHOWN = {"clipped", "detail"}
"""What side fields were cut, and what is shown by its parts."""
NOT_SAID = {"alias", "filled", "text"}
"""Of the detail, what its caller did not say: how names were found, and a group."""


def test_every_kind_says_how_common_it_is_and_nothing_else_does() -> None:
    assert set(STORAGE) == set(KIND.values())


def test_calls_and_the_changes_of_single_holds_are_common_and_calls_come_first() -> None:
    assert FORM.common() == ("usage", "hold", "hold_extended", "hold_released")
    assert STORAGE["preflight"] is Storage.RARE


def test_the_view_has_every_field_of_a_call_once() -> None:
    names = [column.name for column in USAGE.columns]
    assert len(names) == len({*names, *ELSEWHERE}) - len(ELSEWHERE)
    assert {*UsageDetail.__struct_fields__} <= {*names} | NOT_SAID
    assert {*UsageRecorded.__struct_fields__, *Personal.__struct_fields__} <= {*names} | NOT_SHOWN
