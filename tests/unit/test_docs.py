"""The pages for people lead somewhere: every link, and every module that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")]
)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
PLACE = re.compile(r"`((?:actors|docs|messages|persistence|tests|\.ci)/[^`<*\s]*)`")
BESIDE = re.compile(r"`((?:actors|messages|persistence)/[\w/]+/)\w+\.py`((?:, `\w+\.py`)+)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors_of(page: Path) -> set[str]:
    """The anchors that a page's headings have on the sites that show Markdown."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def wrong_links(page: Path) -> list[str]:
    wrong = []
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            wrong.append(link)
    return wrong


def wrong_places(page: Path) -> list[str]:
    text = page.read_text()
    named = set(PLACE.findall(text))
    for folder, others in BESIDE.findall(text):
        named |= {folder + other for other in re.findall(r"`(\w+\.py)`", others)}
    return sorted(place for place in named if not (ROOT / place).exists())


def test_there_are_pages() -> None:
    assert {"README.md", "docs/architecture.md", "docs/decisions/README.md"} <= {
        name_of(page) for page in PAGES
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert wrong_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    assert wrong_places(page) == []


def test_every_decision_is_in_the_index_once() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text())
    assert sorted(listed) == sorted(page.name for page in folder.glob("0*.md"))


def test_a_planted_wrong_link_and_a_planted_wrong_module_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A b\n[a](#a-b) [b](#b) [c](none.md) `actors/app.py`, `process.py`, `x.py`\n")
    assert wrong_links(page) == ["#b", "none.md"]
    page.write_text("`actors/none.py` and `actors/user/actor.py`, `ledger.py`, `none.py`")
    assert wrong_places(page) == ["actors/none.py", "actors/user/none.py"]
