"""Tests run on the compiled hot path where there is one, and once more on its sources."""

from __future__ import annotations

import pytest

from tests.support.compiled import CHANGED, COMPILED


def pytest_report_header() -> str:
    """Say what is tested."""
    why = "" if CHANGED is None else f": {CHANGED} is not as it was compiled, run make install"
    return f"hot path: {'compiled' if COMPILED else 'sources'}{why}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what puts something of its own into modules, where these are compiled."""
    if not COMPILED:
        return
    patching = [item for item in items if item.get_closest_marker("sources")]
    config.hook.pytest_deselected(items=patching)
    items[:] = [item for item in items if item not in patching]
