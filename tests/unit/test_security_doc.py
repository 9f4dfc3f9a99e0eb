"""docs/security.md says of the roles what docs/nats.conf gives them, as the tests know it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from messages.subjects import PREFIX, mapping
from messages.verbs import COMMANDS
from tests.support.roles import INBOXES, ROLES, VERBS

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROWS = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", (DOCS / "security.md").read_text(), re.MULTILINE
)
CONFIG = (DOCS / "nats.conf").read_text()


def told_of(role: str) -> str:
    """What the table of roles says that a role may do."""
    one = role == "alice"  # the file's example of one who reads one user
    found: str = next(may for name, may in ROWS if name == ("reader of one user" if one else role))
    return found


@pytest.mark.parametrize("role", ROLES)
def test_the_page_names_the_verbs_of_each_role(role: str) -> None:
    assert set(re.findall(r"`([a-z]+)`", told_of(role))) & set(COMMANDS) == VERBS[role]


def test_every_verb_is_for_some_role() -> None:
    assert set().union(*VERBS.values()) == set(COMMANDS)


def test_the_file_has_the_mapping_of_the_service_and_every_inbox() -> None:
    source, destination = mapping(PREFIX)
    assert f'"{source}": "{destination}"' in CONFIG
    for inbox in INBOXES.values():
        assert CONFIG.count(f'"{inbox}.>"') == 2  # of the role, and for the service
