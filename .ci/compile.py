"""Compile the hot path with mypyc, in place: what the list in pyproject.toml names.

The modules stay what they are, Python; compiled they take half the time, and Python takes the
compiled form where there is one. Without a C compiler nothing is compiled and all works as it
does. Run by `make install`; needs the project's development dependencies.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import shutil
import sysconfig
import tempfile
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("actors", "messages", "persistence")
DIGESTS = ROOT / "actors" / "compiled.json"
"""What was compiled: `actors.compiled` holds it against what is there."""


def main() -> None:
    """Compile, or say why not."""
    os.chdir(ROOT)
    clean()
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    modules: list[str] = settings["tool"]["meterd"]["compiled"]
    missing = lacking()
    if missing:
        print(f"not compiled, which is slower and otherwise the same: there is no {missing}")
        return
    if not build(modules):
        return
    digests = {name: hashlib.blake2b(Path(name).read_bytes()).hexdigest() for name in modules}
    DIGESTS.write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")


def clean() -> None:
    """Take away what was compiled before."""
    DIGESTS.unlink(missing_ok=True)
    for room in ROOMS:
        for found in Path(room).rglob("*.so"):
            found.unlink()


def lacking() -> str | None:
    """What a compilation needs and this machine has not."""
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"C compiler ({compiler})"
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    return None if header.exists() else f"header of Python ({header.name})"


def build(modules: list[str]) -> bool:
    """Run mypyc, which must take the modules, and the C compiler, which may be broken."""
    from mypyc.build import mypycify
    from setuptools import setup

    with tempfile.TemporaryDirectory() as scratch:
        said = io.StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(said):  # what it does with generators
                extensions = mypycify(
                    ["--explicit-package-bases", *modules],
                    opt_level="1",  # more takes longer and runs no faster
                    debug_level="0",
                    group_name="actors.compiled_hot",
                    target_dir=scratch,
                )
        except SystemExit:
            print(said.getvalue())
            raise
        built = ["--quiet", "build_ext", "--inplace", "--build-temp", scratch]
        try:
            setup(
                name="meterd",
                packages=[],
                py_modules=[],
                ext_modules=extensions,
                script_args=[*built, "--build-lib", scratch],
            )
        except SystemExit as error:
            print(f"not compiled, which is slower and otherwise the same: {error}")
            clean()
            return False
    return True


if __name__ == "__main__":
    main()
