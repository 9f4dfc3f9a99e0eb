"""The tool that shows what one call costs, step by step, has to fit the service as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.bench import steps


async def test_the_whole_and_its_steps_are_measured_on_the_service_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "OUT", tmp_path)
    monkeypatch.setattr(steps, "WARM", steps.CHUNK)
    whole, parts = await steps.measure(2 * steps.CHUNK, 20)
    assert whole > 0
    assert len(parts) == 9
