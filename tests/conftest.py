"""What every run of tests says first, and what tests of one process share with none."""

from __future__ import annotations

import pytest

from persistence.damage import TOLD
from tests.support.meterd import form


def pytest_report_header() -> str:
    """Say what is tested."""
    return form()


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    """A process tells of each damaged place once; here each test is a process of its own."""
    TOLD.forget()
