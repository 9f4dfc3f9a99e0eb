"""What every run of tests says first."""

from __future__ import annotations

from tests.support.meterd import form


def pytest_report_header() -> str:
    """Say what is tested."""
    return form()
