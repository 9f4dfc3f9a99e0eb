"""What is compiled into a wheel, and when: see hatch_build.py and .ci/wheel.py."""

from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path

import pytest

from hatch_build import compiled_modules
from tests.support.environments import wheel_script
from tests.support.service import ROOT

MODULES = compiled_modules(ROOT)
TREE = ("actors", "messages", "persistence", "hatch_build.py", "pyproject.toml", "README.md")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """All that goes into the wheels, in another place."""
    for name in (*TREE, "LICENSE", ".ci"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name)
        else:
            shutil.copy(ROOT / name, tmp_path)
    return tmp_path


# -- what is compiled


def classes(name: str) -> dict[str, ast.ClassDef]:
    """The classes of a source by name."""
    nodes = ast.walk(ast.parse((ROOT / name).read_text()))
    return {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}


def bases(name: str) -> list[tuple[str, str]]:
    """The classes of a source with each of their bases."""
    found = classes(name).items()
    return [(own, ast.unparse(base)) for own, node in found for base in node.bases]


def test_no_compiled_module_has_a_class_that_would_mean_something_else() -> None:
    """mypyc drops the keywords of a Struct, and no method of a dict may be replaced."""
    found = [(name, *pair) for name in MODULES for pair in bases(name)]
    bad = ("Struct", "msgspec.Struct", "dict", "list")
    assert [entry for entry in found if entry[2].partition("[")[0] in bad] == []
    assert ("Bounds", "NamedTuple") in [entry[1:] for entry in found]  # the search finds bases


def test_no_class_that_is_not_compiled_has_a_compiled_base() -> None:
    """To make an object of one raises TypeError, and in a checkout nothing does."""
    compiled = {found for name in MODULES for found in classes(name)}
    assert "PersistentActor" in compiled
    rooms = ("actors", "messages", "persistence")
    names = {str(path.relative_to(ROOT)) for room in rooms for path in (ROOT / room).rglob("*.py")}
    others = names - set(MODULES)
    found = [(name, *pair) for name in sorted(others) for pair in bases(name)]
    assert [entry for entry in found if entry[2].partition("[")[0] in compiled] == []


def test_the_hot_path_is_compiled_and_what_cannot_be_is_not() -> None:
    assert {
        *("actors/billing/usage/track.py", "actors/billing/wire/fast.py", "actors/edge/parser.py"),
        *("actors/user/ledger.py", "messages/codec.py", "persistence/writer.py"),
    } <= set(MODULES)
    assert not any(name.endswith("__init__.py") or "/reports/" in name for name in MODULES)
    assert not set(MODULES) & {"actors/billing/state/interning.py", "messages/usage.py"}


@pytest.mark.parametrize("name", ["actors/edge/parser.py", "actors/user/lookups.py"])
def test_a_module_that_was_moved_and_is_still_listed_is_named(checkout: Path, name: str) -> None:
    (checkout / name).unlink()
    with pytest.raises(ValueError, match=f"no file matches {name}"):
        compiled_modules(checkout)


# -- when


@pytest.mark.parametrize(
    ("compiler", "why"),
    [
        ("/missing/cc", "there is no C compiler (/missing/cc)"),
        ("false", "the C compiler fails: "),
        ("true", "the C compiler does nothing"),
    ],
)
def test_a_c_compiler_that_does_not_work_is_seen_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch, compiler: str, why: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    wheel = wheel_script()
    assert why in (wheel.lacking() or wheel.broken())


def test_without_a_c_compiler_the_wheel_is_pure(tmp_path: Path) -> None:
    wheel_script().build(ROOT, tmp_path, hooks=False)
    (wheel,) = tmp_path.iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")


def test_a_state_of_the_sources_is_known_by_all_that_goes_into_a_wheel(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = wheel_script()
    monkeypatch.setattr(wheel, "ROOT", checkout)
    states = [wheel.state()]
    for path in ("messages/units.py", "actors/billing/catalog/data/plans.json", "pyproject.toml"):
        with (checkout / path).open("a") as file:
            file.write("\n")
        states.append(wheel.state())
    (checkout / "persistence" / "more.py").touch()
    states.append(wheel.state())
    monkeypatch.setenv("CC", "another")
    states.append(wheel.state())
    assert len(set(states)) == len(states)


def test_files_of_python_beside_the_sources_make_no_other_state(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = wheel_script()
    monkeypatch.setattr(wheel, "ROOT", checkout)
    before = wheel.state()
    (checkout / "actors" / "__pycache__").mkdir(exist_ok=True)
    (checkout / "actors" / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"")
    assert wheel.state() == before


def test_the_states_that_were_asked_for_last_are_kept_and_half_made_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = wheel_script()
    monkeypatch.setattr(wheel, "BUILD", tmp_path)
    for number, name in enumerate(("a", "b", "c", "half")):
        (tmp_path / name).mkdir()
        if name != "half":
            (tmp_path / name / "complete").touch()
            os.utime(tmp_path / name / "complete", (number, number))
    wheel.remove_old()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]
