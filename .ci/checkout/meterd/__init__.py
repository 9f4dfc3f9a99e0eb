"""`meterd` in a checkout: the very modules of `messages`, under the name that callers install.

An editable install has this folder on its path, a wheel has no such file: there the folder
`messages` itself is named `meterd`. No module is there twice, so a reply is of one class by
either name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

import messages

if TYPE_CHECKING:
    from messages import *  # noqa: F403 -- for type checkers the names are those of messages


class _SameModules(MetaPathFinder, Loader):
    """Imports `meterd.x` as `messages.x`."""

    def __init__(self) -> None:
        self._own: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 -- the import system says what it is called with
        target: ModuleType | None = None,  # noqa: ARG002 -- as above
    ) -> ModuleSpec | None:
        # What is run as a program is a module of its own in any case.
        if not fullname.startswith("meterd.") or fullname == "meterd.__main__":
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module("messages" + spec.name.removeprefix("meterd"))
        self._own[module.__name__] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own.pop(module.__name__)  # the import has put another one there


sys.modules[__name__] = messages
sys.meta_path.insert(0, _SameModules())
