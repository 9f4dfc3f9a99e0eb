"""What `meterd verify` says of totals that a row keeps of a closed period."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from actors.audit.compare import compare_totals
from actors.audit.findings import Finding
from actors.billing.state.snapshot import period_of
from messages.stored.events import PeriodTotals
from messages.stored.tally import TallyTotals
from persistence.records import Row
from tests.support.meter import NOON, plan

GUESSED = TallyTotals(estimated=(1, 2, 3))
UNITS = {"exa": {"seconds": 10**9}}
ROW = Row(7, 0, "alice", None, "period_sealed", NOON, False, "{}", None)
TOTALS = PeriodTotals(key="2026-03", start=0, end=NOON, terms=plan({}))


def found(kept: TallyTotals | None, counted: TallyTotals | None) -> list[str]:
    findings: list[Finding] = []
    period = period_of(replace(TOTALS, tally=counted))
    compare_totals(ROW, replace(TOTALS, tally=kept), period, findings.append)
    return [finding.field for finding in findings]


@pytest.mark.parametrize("tally", [None, GUESSED, TallyTotals(providers=UNITS, unpriced_calls=1)])
def test_totals_that_are_as_counted_are_no_finding(tally: TallyTotals | None) -> None:
    assert found(tally, tally) == []


def test_totals_of_before_there_were_tallies_need_not_say_what_was_estimated() -> None:
    assert found(None, GUESSED) == []


@pytest.mark.parametrize(
    ("kept", "counted"),
    [
        (None, replace(GUESSED, unpriced_calls=1)),
        (None, replace(GUESSED, providers=UNITS)),
        (None, TallyTotals(earlier=UNITS["exa"])),
        (GUESSED, None),
        (GUESSED, TallyTotals(estimated=(1, 2, 4))),
        (GUESSED, replace(GUESSED, models=UNITS)),
    ],
)
def test_any_other_tally_is_a_finding(
    kept: TallyTotals | None, counted: TallyTotals | None
) -> None:
    assert found(kept, counted) == ["tally"]
