"""The source files of the project, and what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("actors", "messages", "persistence", "tests")


@dataclass(frozen=True)
class Module:
    """A source file; ``path`` is relative to the root and begins with its room."""

    path: PurePosixPath
    text: str

    @property
    def room(self) -> str:
        return self.path.parts[0]

    @property
    def nodes(self) -> tuple[ast.AST, ...]:
        return _walked(self.text)

    def under(self, *places: str) -> bool:
        return any(self.path.is_relative_to(place) for place in places)


def read_modules(root: Path) -> list[Module]:
    files = sorted(file for room in ROOMS for file in (root / room).rglob("*.py"))
    return [Module(PurePosixPath(f.relative_to(root)), f.read_text()) for f in files]


@lru_cache(maxsize=1)
def _walked(text: str) -> tuple[ast.AST, ...]:
    """All nodes of a source, kept for whoever looks at the same one next.

    To keep those of all sources would cost more than it saves: the collector walks them.
    """
    return tuple(ast.walk(ast.parse(text)))


@cache
def imports(module: Module) -> tuple[str, ...]:
    """The full names of all that it imports, also inside functions and type-checking blocks."""
    return tuple(_imported(module))


def _imported(module: Module) -> Iterator[str]:
    package = module.path.parent.parts
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
