"""Some thousand requests that are nearly right; `make fuzz` sends a million."""

from __future__ import annotations

from pathlib import Path

from tests.tools.fuzz.__main__ import fuzz


def test_requests_that_are_nearly_right_get_one_answer_each_and_harm_nobody(
    tmp_path: Path,
) -> None:
    found, _ = fuzz(tmp_path / "data", seed=7, count=6_000)
    assert found.faults == []
    assert found.number == 6_000
    # Else nothing would have been tried.
    assert found.codes["reply"] > 500
    assert len(found.codes) > 10
