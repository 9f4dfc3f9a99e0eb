"""What hatchling cannot be told by settings: the version of the client, and a compiled wheel."""

from __future__ import annotations

import tomllib
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface


class ServerMetadata(MetadataHookInterface):
    """The service needs the client of its own version, which `messages/__init__.py` says."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add what is required: `[tool.hatch.metadata.hooks.custom]` has the rest."""
        client = f"meterd-client=={metadata['version']}"
        metadata["dependencies"] = [client, *self.config["dependencies"]]


class CompiledWheel(BuildHookInterface[BuilderConfig]):
    """Compiles the hot path into a wheel, with HATCH_BUILD_HOOKS_ENABLE=true.

    mypyc and the C compiler work in a scratch folder: the tree stays as it is, and in a checkout
    the sources run. The wheel has the sources too, for tracebacks.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the wheel take the outcome; an editable install takes nothing."""
        if version == "editable":
            return
        self._scratch = TemporaryDirectory(prefix="meterd-")
        made = compile_into(Path(self._scratch.name), Path(self.root))
        build_data["force_include"][str(made)] = "meterd_server"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Take the scratch folder away."""
        del version, build_data, artifact_path
        if hasattr(self, "_scratch"):
            self._scratch.cleanup()


def compile_into(scratch: Path, root: Path) -> Path:
    """Compile the modules of the hot path; the folder of what became of them."""
    from mypyc.build import mypycify  # noqa: PLC0415 -- only a compiled wheel needs these two
    from setuptools import setup  # noqa: PLC0415 -- as above

    made = scratch / "made"
    with chdir(root):
        extensions: Any = mypycify(
            ["--explicit-package-bases", *compiled_modules(root)],
            opt_level="1",  # more takes longer and runs no faster
            debug_level="0",
            group_name="actors.compiled",
            target_dir=str(scratch),
        )
        where = ("--build-temp", str(scratch), "--build-lib", str(made))
        setup(
            name="meterd",
            packages=[],
            py_modules=[],
            ext_modules=extensions,
            script_args=["--quiet", "build_ext", *where],
        )
    return made


def compiled_modules(root: Path) -> list[str]:
    """The files that `[tool.meterd]` has compiled.

    Raises:
        ValueError: a pattern of it matches no file.
    """
    with (root / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)["tool"]["meterd"]

    def matching(patterns: Any) -> set[str]:
        found: set[str] = set()
        for pattern in patterns:
            files = {path.relative_to(root).as_posix() for path in root.glob(pattern)}
            if not files:
                raise ValueError(f"[tool.meterd] in pyproject.toml: no file matches {pattern}")
            found |= {name for name in files if not name.endswith("__init__.py")}
        return found

    return sorted(matching(settings["compiled"]) - matching(settings["interpreted"]))
