from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from hashlib import blake2b
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from actors.compiled import DIGESTS, ROOMS, outdated
from tests.support.compiled import ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES: list[str] = SETTINGS["tool"]["meterd"]["compiled"]
FILES = ("actors/a.cpython-311.so", "actors/a.py", "messages/b.py")


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """A directory with two sources and what their compilation left."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
    for name in FILES:
        (tmp_path / name).write_text(name)
    digests = {name: blake2b(name.encode()).hexdigest() for name in FILES}
    (tmp_path / DIGESTS).write_text(json.dumps({"files": digests}))
    return tmp_path


def test_sources_that_were_compiled_as_they_are_are_not_outdated(compiled: Path) -> None:
    assert outdated(compiled) is None


def test_where_nothing_is_compiled_nothing_is_outdated(tmp_path: Path) -> None:
    assert outdated(tmp_path) is None


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_changed_or_removed_since_is_named(compiled: Path, name: str) -> None:
    (compiled / name).write_text("another")
    assert outdated(compiled) == name
    (compiled / name).unlink()
    assert outdated(compiled) == name


def test_a_compiled_module_of_another_compilation_is_named(compiled: Path) -> None:
    (compiled / "persistence" / "old.cpython-311.so").write_text("left")
    assert outdated(compiled) == "persistence/old.cpython-311.so"


@pytest.mark.parametrize("left", [None, "", "{}", '{"files": {"actors/a.py"', "[]"])
def test_what_an_interrupted_compilation_left_is_outdated(compiled: Path, left: str | None) -> None:
    (compiled / DIGESTS).unlink()
    if left is not None:
        (compiled / DIGESTS).write_text(left)
    assert outdated(compiled) == ("actors/a.cpython-311.so" if left is None else DIGESTS)


def test_the_sources_of_what_is_compiled_are_all_whose_constants_may_be_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    sources = script().sources_of(MODULES)
    assert sources >= set(MODULES)
    # Imported, not compiled: `WAVESPEED`, `HARD` and others of the like are part of the others.
    assert "actors/billing/catalog/providers.py" in sources - set(MODULES)
    # By way of one that is not compiled.
    assert "messages/stored/older.py" in sources
    assert "actors/cli/main.py" not in sources


@pytest.mark.parametrize(
    ("compiler", "why"),
    [
        ("/missing/cc", "there is no C compiler (/missing/cc)"),
        ("false", "the C compiler fails: "),
        ("true", "the C compiler does nothing"),
    ],
)
def test_without_a_c_compiler_that_works_nothing_compiled_is_left_and_one_line_says_why(
    tmp_path: Path, compiler: str, why: str
) -> None:
    for name in (*ROOMS, ".ci"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "persistence" / "half.cpython-311.so").write_text("of an interrupted compilation")
    done = subprocess.run(
        [sys.executable, tmp_path / ".ci" / "compile.py"],
        env={**os.environ, "CC": compiler},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert why in done.stdout
    assert not [*tmp_path.rglob("*.so"), *tmp_path.rglob("compiled.json*")]
    assert outdated(tmp_path) is None


@pytest.mark.parametrize("command", [["serve"], ["verify"], ["stats", "alice"], ["--version"]])
def test_no_command_runs_on_what_is_half_compiled(tmp_path: Path, command: list[str]) -> None:
    for name in ROOMS:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so"))
    (tmp_path / DIGESTS).unlink(missing_ok=True)
    # As the first of many: it needs one that is not there.
    (tmp_path / "messages" / f"units{EXTENSION_SUFFIXES[0]}").write_text("half")
    done = subprocess.run(
        [sys.executable, "-m", "actors", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"messages/units{EXTENSION_SUFFIXES[0]}" in done.stderr
    assert "make install" in done.stderr


def script() -> Any:
    """`.ci/compile.py` as a module."""
    spec = spec_from_file_location("compile_script", ROOT / ".ci" / "compile.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
