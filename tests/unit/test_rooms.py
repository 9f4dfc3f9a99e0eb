"""The order of rooms: which room of a package may import which others, shown to bite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import pytest

from tests.support.sources import ROOT, Module, imports, read_modules

Allowed = Mapping[str, set[str]]
"""For each room of a package, or module at its top, the others that it may import."""


def upwards(*levels: str) -> Allowed:
    """Each level may import the levels before it, and its own."""
    known: set[str] = set()
    allowed: dict[str, set[str]] = {}
    for level in levels:
        known = known | set(level.split())
        allowed |= dict.fromkeys(level.split(), known)
    return allowed


# The runtime and the rules know nothing of each other; neither do the edge and the users.
_RULES = {"clock", "billing", "runtime", "persistent"}
_PARTS = _RULES | {"user", "catalog", "edge", "maintenance", "publishing", "settings"}
ACTORS: Allowed = {
    "clock": set(),
    "billing": set(),
    "runtime": set(),
    "persistent": _RULES,
    "user": _RULES,
    "catalog": {*_RULES, "user"},
    "edge": {"clock", "runtime"},
    "maintenance": {*_RULES, "user", "edge"},
    "publishing": {"clock", "billing", "edge"},
    "settings": {"billing"},
    "audit": {"clock", "billing"},
    "factory": {*_RULES, "user", "catalog"},
    "waits": {"edge", "maintenance", "publishing"},
    "app": {*_PARTS, "factory", "waits"},
    "leaving": set(),
    "stopping": set(),
    "process": {*_PARTS, "app", "leaving", "stopping"},
    "cli": {*_PARTS, "audit", "process"},
    "__main__": {"cli", "leaving", "settings"},
    "launcher": {"__main__"},
}
BILLING = upwards(
    "paging effects fingerprint catalog",
    "counters",
    "limits",
    "state",
    "change",
    "periods",
    "usage admission",
    "reports",
    "changes",
    "wire",
    "idempotency publications",
)
# SQLite is one way to keep what the journal describes.
PERSISTENCE = upwards(
    "errors exhaustion fsync records key_filter damage",
    "journal",
    "writer memory",
    "chain",
    "archive",
    "sqlite",
)
PACKAGES = {"actors": ACTORS, "actors.billing": BILLING, "persistence": PERSISTENCE}


def breaches(module: Module) -> Iterator[str]:
    if module.path.name == "__init__.py":
        return
    for package, allowed in PACKAGES.items():
        if not module.under(package.replace(".", "/")):
            continue
        room = room_of(package, ".".join(module.path.with_suffix("").parts))
        if room not in allowed:
            yield f"stands in no room of {package}"
            continue
        for name in imports(module):
            other = room_of(package, name)
            if name.startswith(f"{package}.") and other != room and other not in allowed[room]:
                yield f"{room} imports {name}"


def room_of(package: str, name: str) -> str:
    """The room of a package, or the module at its top, in which a name stands."""
    return name.removeprefix(f"{package}.").partition(".")[0]


def test_each_module_imports_only_rooms_before_its_own() -> None:
    assert [
        (str(module.path), why) for module in read_modules(ROOT) for why in breaches(module)
    ] == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("actors/a.py", "x = 1"),
        ("actors/billing/a.py", "x = 1"),
        ("actors/user/a.py", "from actors.edge import parser"),
        ("actors/edge/a.py", "from actors.user.actor.actor import UserActor"),
        ("actors/edge/a.py", "def f():\n    from ..billing import counters"),
        ("actors/runtime/a.py", "from actors.billing.state.apply import account"),
        ("actors/billing/counters.py", "from actors.billing.limits.limits.limits import Limit"),
        ("actors/billing/limits/a.py", "from ..state import account"),
        ("actors/billing/usage/a.py", "import actors.billing.wire.fast"),
        ("persistence/chain/a.py", "from persistence.sqlite.journal.journal import SQLiteJournal"),
        ("persistence/journal.py", "from persistence import memory"),
    ],
)
def test_a_planted_breach_is_found(path: str, text: str) -> None:
    assert list(breaches(Module(PurePosixPath(path), text)))


def test_an_import_that_follows_the_order_is_no_breach(tmp_path: Path) -> None:
    fine = {
        "actors/user/a.py": "from actors.billing.state import account\nimport persistence.writer",
        "actors/billing/state/a.py": "from ..counters import slots\nfrom . import b",
        "actors/cli/a.py": "from actors.process import run",
        "persistence/sqlite/a.py": "from persistence.journal import EventLog",
        "tests/unit/a.py": "from actors.edge import parser",
    }
    for path, text in fine.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    modules = read_modules(tmp_path)
    assert len(modules) == len(fine)
    assert [list(breaches(module)) for module in modules] == [[]] * len(fine)
