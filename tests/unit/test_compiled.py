from __future__ import annotations

import ast
import json
import tomllib
from hashlib import blake2b
from pathlib import Path

import pytest

from actors.compiled import DIGESTS, outdated
from tests.support.compiled import ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES: list[str] = SETTINGS["tool"]["meterd"]["compiled"]


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """A directory with two sources and what their compilation left."""
    (tmp_path / "actors").mkdir()
    digests = {}
    for name in ("actors/a.py", "actors/b.py"):
        (tmp_path / name).write_text(name)
        digests[name] = blake2b(name.encode()).hexdigest()
    (tmp_path / DIGESTS).write_text(json.dumps(digests))
    return tmp_path


def test_sources_that_were_compiled_as_they_are_are_not_outdated(compiled: Path) -> None:
    assert outdated(compiled) is None


def test_where_nothing_is_compiled_nothing_is_outdated(tmp_path: Path) -> None:
    assert outdated(tmp_path) is None


def test_a_source_that_was_changed_or_removed_since_is_named(compiled: Path) -> None:
    (compiled / "actors/b.py").write_text("another")
    assert outdated(compiled) == "actors/b.py"
    (compiled / "actors/b.py").unlink()
    assert outdated(compiled) == "actors/b.py"


def bases(name: str) -> list[tuple[str, str]]:
    """The classes of a source with each of their bases."""
    nodes = ast.walk(ast.parse((ROOT / name).read_text()))
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    return [(found.name, ast.unparse(base)) for found in classes for base in found.bases]


def test_no_compiled_module_has_a_class_that_would_mean_something_else() -> None:
    """mypyc drops the keywords of a Struct, and no method of a dict may be replaced."""
    assert len(MODULES) > 20
    found = [(name, *pair) for name in MODULES for pair in bases(name)]
    bad = ("Struct", "msgspec.Struct", "dict", "list")
    assert [entry for entry in found if entry[2].partition("[")[0] in bad] == []
    assert ("Limits", "NamedTuple") in [entry[1:] for entry in found]  # the search finds bases
