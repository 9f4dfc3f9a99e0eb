"""The table of the log's lines in the documentation, held against the code that writes them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath
from typing import NamedTuple

from tests.support.sources import ROOT, Module, read_modules

PAGE = ROOT / "docs" / "operations.md"
ROW = re.compile(r"^\| `([a-z_]+)` \| ([\w, ]+) \| (.*?) \|", re.MULTILINE)
LEVELS = {name: name for name in ("debug", "info", "warning", "error")} | {"exception": "error"}
AT_ONCE = {"exc_info"}
"""Keywords that become no field of their own."""


class Line(NamedTuple):
    """One line that the code may write; ``fields`` is None if they are not said where it is."""

    event: str
    levels: frozenset[str]
    fields: frozenset[str] | None


def lines_of(module: Module) -> Iterator[Line]:
    """The lines that a module writes: by a log, or by a name that stands for a method of it."""
    named = dict[str, frozenset[str]]()
    for node in module.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            levels = levels_in(node.value)
            if levels and not isinstance(node.value, ast.Call):
                named[node.targets[0].id] = levels
    for node in module.nodes:
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        levels = named.get(name) or level_of(node.func)
        if levels:
            keywords = {keyword.arg for keyword in node.keywords} - AT_ONCE
            fields = frozenset(name for name in keywords if name is not None)
            yield Line(text_of(node.args[0]), levels, fields if None not in keywords else None)
        elif name == "Repeated":
            yield Line(text_of(node.args[1]), levels_in(node.args[0]), None)


def level_of(node: ast.AST) -> frozenset[str]:
    """The level of one method of a log; empty if it is none."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
        return frozenset()
    found = node.value.id in {"_log", "log"} and node.attr in LEVELS
    return frozenset({LEVELS[node.attr]} if found else ())


def levels_in(node: ast.AST) -> frozenset[str]:
    """The levels of the methods of a log that are named somewhere in an expression."""
    return frozenset(level for part in ast.walk(node) for level in level_of(part))


def text_of(node: ast.expr) -> str:
    assert isinstance(node, ast.Constant), f"the name of a line is no plain text: {ast.dump(node)}"
    return str(node.value)


@cache
def written() -> dict[str, list[Line]]:
    """What the code writes, by event."""
    found: dict[str, list[Line]] = {}
    for module in read_modules(ROOT):
        if module.room in {"actors", "persistence"}:
            for line in lines_of(module):
                found.setdefault(line.event, []).append(line)
    return found


def table() -> dict[str, Line]:
    """What the documentation says, by event."""
    rows = [
        Line(event, frozenset(levels.split(", ")), frozenset(re.findall(r"`(\w+)`", fields)))
        for event, levels, fields in ROW.findall(PAGE.read_text())
        if set(levels.split(", ")) <= set(LEVELS)
    ]
    assert len(rows) == len({row.event for row in rows}), "an event has two rows"
    return {row.event: row for row in rows}


def test_each_line_has_its_row_and_each_row_its_line() -> None:
    assert sorted(table()) == sorted(written())


def test_each_row_has_the_levels_of_its_line() -> None:
    assert {event: set(row.levels) for event, row in table().items()} == {
        event: {level for line in lines for level in line.levels}
        for event, lines in written().items()
    }


def test_each_row_has_the_fields_of_its_line() -> None:
    wrong = []
    for event, row in table().items():
        lines, documented = written()[event], row.fields or frozenset()
        said = {name for line in lines for name in line.fields or ()}
        known = all(line.fields is not None for line in lines)
        if not said <= documented or (known and said != documented):
            wrong.append((event, sorted(said ^ documented)))
    assert wrong == []


def test_a_planted_line_is_found() -> None:
    text = """
_log.info("one", seq=1)
_log.exception("two", user=1, exc_info=error)
tell = _log.warning if bad else _log.info
tell("three", why=1, **more)
self._told = Repeated(_log.error, "four")
other.info("five")
"""
    assert list(lines_of(Module(PurePosixPath("actors/a.py"), text))) == [
        Line("one", frozenset({"info"}), frozenset({"seq"})),
        Line("two", frozenset({"error"}), frozenset({"user"})),
        Line("three", frozenset({"warning", "info"}), None),
        Line("four", frozenset({"error"}), None),
    ]
