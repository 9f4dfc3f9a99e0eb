"""What is installed is what the project says, all of it and no other version."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
OURS = {"meterd", "meterd-client"}
EXTRAS = set(PROJECT["project"]["optional-dependencies"])
OF_RUNNING = {"cli", "embedded", "run", "speed"}
EXACT = re.compile(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9._+!-]+)$")


def constraints() -> dict[str, str]:
    """The exact versions, by name."""
    lines = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    found: dict[str, str] = {}
    for line in lines:
        if not line.startswith("#"):
            match = EXACT.match(line)
            assert match, f"not an exact version: {line}"
            found[canonicalize_name(match[1])] = match[2]
    return found


def wanted_by(name: str, extras: set[str]) -> Iterator[Requirement]:
    """What a distribution that is installed requires here."""
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield requirement


def closure(extras: set[str] = EXTRAS) -> dict[str, list[Requirement]]:
    """All that meterd with these extras, its client and its build require, through all levels."""
    found: dict[str, list[Requirement]] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [each for name in OURS for each in wanted_by(name, extras)]
    waiting += map(Requirement, PROJECT["build-system"]["requires"])
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in OURS:
            continue
        found.setdefault(name, []).append(requirement)
        key = (name, ",".join(sorted(requirement.extras)))
        if key not in seen and installed(name) is not None:
            seen.add(key)
            waiting += wanted_by(name, set(requirement.extras))
    return found


def installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def test_every_dependency_is_installed_in_exactly_the_version_that_is_named() -> None:
    exact = constraints()
    found = {name: installed(name) for name in closure()}
    assert found == {name: exact.get(name) for name in found}
    assert len(found) > 30


def test_every_version_that_is_named_is_one_of_a_dependency() -> None:
    assert set(constraints()) - set(closure()) == set()


def test_a_run_installs_what_running_and_the_build_need_and_no_tool_of_developers() -> None:
    lines = (ROOT / ".ci" / "runtime.txt").read_text().splitlines()
    listed = [Requirement(line) for line in lines if not line.startswith("#")]
    assert {canonicalize_name(each.name) for each in listed} == set(closure(OF_RUNNING))
    assert not any(each.specifier for each in listed)  # constraints.txt has the versions


def test_every_version_that_is_named_is_in_all_ranges() -> None:
    exact = constraints()
    for name, requirements in closure().items():
        for requirement in requirements:
            assert requirement.specifier.contains(exact[name], prereleases=True), requirement


def test_an_isolated_build_of_a_compiled_wheel_has_the_types_of_all_dependencies() -> None:
    hatch = PROJECT["tool"]["hatch"]
    hook = hatch["build"]["targets"]["wheel"]["hooks"]["custom"]
    needed = set(hatch["metadata"]["hooks"]["custom"]["dependencies"])
    assert needed < set(hook["dependencies"])
    (mypy,) = [text for text in hook["dependencies"] if text.startswith("mypy")]
    assert mypy in PROJECT["project"]["optional-dependencies"]["dev"]


def test_every_range_of_the_project_has_a_floor() -> None:
    listed = [*PROJECT["build-system"]["requires"]]
    for name in OURS:
        listed += metadata.requires(name) or ()
    assert len(listed) > 30
    for requirement in map(Requirement, listed):
        if requirement.name not in OURS:
            assert any(part.operator == ">=" for part in requirement.specifier), requirement


def test_the_installed_packages_fit_together() -> None:
    bad = [
        f"{found.name} needs {requirement}"
        for found in metadata.distributions()
        for requirement in wanted_by(found.name, set())
        if (version := installed(requirement.name)) is None
        or not requirement.specifier.contains(version, prereleases=True)
    ]
    assert bad == []


# -- the rules of bandit, which ruff has as S


def test_no_rule_of_security_is_left_out_but_that_on_assert() -> None:
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    assert [rule for rule in lint["ignore"] if re.match(r"S\d*$", rule)] == ["S101"]
    per_file = {
        place: [rule for rule in rules if re.match(r"S\d*$", rule)]
        for place, rules in lint["per-file-ignores"].items()
    }
    assert {place: rules for place, rules in per_file.items() if rules} == {
        "tests/**": ["S"],
        ".ci/wheel.py": ["S603"],
    }
