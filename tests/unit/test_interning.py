"""What users have in common is one object, and no user's change shows at another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account
from actors.billing.state.apply import apply
from actors.billing.state.interning import NOTHING, owned, shared
from messages.codec import decode_event, encode_event
from messages.stored.events import (
    PeriodRolled,
)
from tests.support.meter import Meter, catalog_of, micros
from tests.support.meterd import compiled_here

WRITES: list[Callable[[dict[str, Any]], object]] = [
    lambda d: d.__setitem__("a", 1),
    lambda d: d.__delitem__("a"),
    lambda d: d.__ior__({"a": 1}),
    lambda d: d.update(a=1),
    lambda d: d.setdefault("a", 1),
    lambda d: d.pop("a", None),
    lambda d: d.popitem(),
    lambda d: d.clear(),
]


def replayed(meter: Meter) -> Account:
    """The account from the bytes of its log."""
    account = Account("alice")
    for row in meter.log:
        apply(account, row.event, row.at, row.seq)
    return account


def busy() -> Meter:
    """A user with everything: alerts, a closed period with a late call, ended holds."""
    meter = Meter(catalog_of(free={"openai_calls": 1}), at=micros("2026-01-20T10:00:00Z"))
    meter.track("openai")
    meter.at = micros("2026-02-02T10:00:00Z")
    meter.track("openai")
    meter.track("openai", timestamp=micros("2026-01-21T10:00:00Z"))
    meter.do("hold", provider="exa", event_id="h")
    meter.do("release", hold_id="h")
    return meter


@pytest.mark.parametrize("write", WRITES)
def test_a_shared_dict_cannot_be_written_to(write: Callable[[dict[str, Any]], object]) -> None:
    for mapping in (NOTHING, shared({"a": 1})):
        before = dict(mapping)
        with pytest.raises(TypeError, match="shared"):
            write(mapping)
        assert mapping == before


def test_a_writer_takes_a_copy_of_a_shared_dict_and_keeps_its_own() -> None:
    common = shared({"a": 1})
    own = owned(common)
    own["a"] = 2
    assert common == {"a": 1}
    assert owned(own) is own


def test_a_change_of_one_user_does_not_show_at_another() -> None:
    idle = Meter(catalog_of(), at=micros("2026-01-20T10:00:00Z"))
    idle.track("openai")
    before = snapshots.encode(idle.account)
    account = busy().account
    assert account.unread
    assert account.before
    assert account.ended == {"h": "released"}
    assert account.closed[0].levels
    assert snapshots.encode(idle.account) == before
    assert NOTHING == {}
    assert Account("bob") == Account("bob", closed=(), months={}, before={}, unread={})


@pytest.mark.parametrize(
    "load", [replayed, lambda m: snapshots.decode("alice", snapshots.encode(m.account))]
)
def test_users_from_the_log_or_a_snapshot_share_their_plan_and_their_months(
    load: Callable[[Meter], Account],
) -> None:
    meter = busy()
    one, other = load(meter), load(meter)
    assert one == other == meter.account
    assert one.months is other.months is meter.account.months
    for period, same in zip(
        (*one.closed, one.current), (*other.closed, other.current), strict=True
    ):
        assert period is not None
        assert same is not None
        assert period is not same
        names = ["terms", "table", "key", "layout"]
        if not compiled_here():  # there integers are no objects
            names += ["start", "end"]
        for name in names:
            assert getattr(period, name) is getattr(same, name)


def test_the_opening_of_a_first_period_is_one_event_for_all_and_that_of_a_later_one_its_users() -> (
    None
):
    first, later = [row for row in busy().log if isinstance(row.event, PeriodRolled)]
    texts = [encode_event(row.event) for row in (first, later)]
    # Of every user another text, as the log gives it.
    opened, again = [[decode_event("period_rolled", f"{text} ") for text in texts] for _ in "12"]
    assert opened == again == [first.event, later.event]
    assert opened[0] is again[0]
    assert opened[1] is not again[1]


def test_a_dict_that_is_empty_again_is_shared_again() -> None:
    meter = busy()
    assert meter.account.unread is not NOTHING
    meter.do("ack", all=True)
    assert meter.account.unread is NOTHING
    meter.reset()
    assert meter.current.levels is NOTHING
