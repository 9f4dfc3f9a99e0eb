"""docs/rules.md names tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rules.md").read_text()
ROWS = re.findall(r"^\| (?!rule |---)(.*) \| (.*) \|$", PAGE, re.MULTILINE)


def named(cell: str) -> list[tuple[str, list[str]]]:
    """The files of a row, each with the tests that are named of it."""
    groups = [group.split(": ", 1) for group in cell.split("; ")]
    return [(file.strip("`"), re.findall(r"`([a-z0-9_*]+)`", names)) for file, names in groups]


def test_the_page_has_a_row_for_every_rule() -> None:
    assert len(ROWS) > 60
    assert len({rule for rule, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("rule", "cell"), ROWS, ids=[rule for rule, _ in ROWS])
def test_a_rule_names_tests_that_there_are(rule: str, cell: str) -> None:
    files = named(cell)
    assert files, rule
    for file, names in files:
        text = (ROOT / file).read_text()
        assert names
        for name in names:
            assert name == "*" or f"def test_{name}(" in text, f"{file}: {name}"
