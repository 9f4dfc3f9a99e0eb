"""Compile the hot path with mypyc, in place: what the list in pyproject.toml names.

The modules stay what they are, Python; compiled they take half the time, and Python takes the
compiled form where there is one. Without a C compiler nothing is compiled and all works as it
does. Run by `make install`; needs the project's development dependencies. Where all is as the
last compilation left it nothing is done.
"""

from __future__ import annotations

import ast
import fcntl
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from actors.compiled import DIGESTS, compiled_modules, digest_of, outdated  # noqa: E402

WITHOUT = "not compiled, which is slower and otherwise the same"
PROBE = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "probe"};
PyMODINIT_FUNC PyInit_probe(void) { return PyModule_Create(&module); }
"""
LOAD = """
import importlib, sys
for name in sys.argv[1:]:
    found = importlib.import_module(name).__file__
    assert not found.endswith(".py"), found
"""


def main() -> None:
    """Compile, or say why not."""
    os.chdir(ROOT)
    with Path("pyproject.toml").open("rb") as settings:
        fcntl.flock(settings, fcntl.LOCK_EX)  # of two at once the second finds it done
        modules: list[str] = tomllib.load(settings)["tool"]["meterd"]["compiled"]
        if not is_done(modules):
            compile_all(modules)


def compile_all(modules: list[str]) -> None:
    """Compile these modules, all or none of them."""
    clean()
    missing = lacking() or broken()
    if missing:
        print(f"{WITHOUT}: {missing}")
        return
    before = {name: digest_of(Path(name)) for name in sources_of(modules)}
    try:
        failure = build(modules) or unloadable(modules)
        if failure:
            print(f"{WITHOUT}: {failure}")
            clean()
            return
        changed = [name for name, digest in before.items() if digest_of(Path(name)) != digest]
        if changed:
            sys.exit(f"{changed[0]} was changed while it was compiled: run make install again")
        files = {**before, **{name: digest_of(Path(name)) for name in compiled_modules()}}
    except BaseException:
        clean()
        raise
    write({"by": made_by(modules), "files": files})


def is_done(modules: list[str]) -> bool:
    """Whether all is as a compilation of these modules, by these means, left it."""
    try:
        found = json.loads(Path(DIGESTS).read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return found.get("by") == made_by(modules) and outdated() is None


def made_by(modules: list[str]) -> list[Any]:
    """What else decides on the outcome, beside the sources."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return [modules, suffix, metadata.version("mypy"), digest_of(Path(__file__))]


def write(kept: dict[str, Any]) -> None:
    """Keep what was compiled; from here on it may run."""
    new = Path(f"{DIGESTS}.new")
    new.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    new.replace(DIGESTS)


def clean() -> None:
    """Take away what was compiled before."""
    Path(DIGESTS).unlink(missing_ok=True)
    for name in compiled_modules():
        Path(name).unlink()


def sources_of(modules: list[str]) -> set[str]:
    """The modules and all of ours that they import: whose constants are compiled into them."""
    found: set[str] = set()
    left = list(modules)
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        for node in ast.walk(ast.parse(Path(name).read_bytes())):
            imported: list[str] = []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                inside = [f"{node.module}.{alias.name}" for alias in node.names]
                imported = [node.module, *inside]
            paths = [f"{module.replace('.', '/')}.py" for module in imported]
            left += [path for path in paths if Path(path).exists()]
    return found


def lacking() -> str | None:
    """What a compilation needs and this machine has not."""
    named = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    compiler = shlex.split(named)[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    return None if header.exists() else f"there is no header of Python ({header.name})"


def broken() -> str | None:
    """Why the C compiler makes no module of the smallest source, None where it does."""
    from setuptools import Extension

    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "probe.c").write_text(PROBE, encoding="utf-8")
        failure = run_compiler([Extension("probe", [f"{scratch}/probe.c"])], scratch)
        made = any(Path(scratch).rglob("*.so"))
    return failure or (None if made else "the C compiler does nothing")


def build(modules: list[str]) -> str | None:
    """Run mypyc, which must take the modules, and the C compiler; why that failed."""
    from mypyc.build import mypycify

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
        return run_compiler(extensions, scratch, "--inplace")


def run_compiler(extensions: list[Any], scratch: str, *more: str) -> str | None:
    """Have the C compiler make these extensions; why it cannot."""
    from setuptools import setup

    where = ["--build-temp", scratch, "--build-lib", scratch]
    try:
        setup(
            name="meterd",
            packages=[],
            py_modules=[],
            ext_modules=extensions,
            script_args=["--quiet", "build_ext", *more, *where],
        )
    except SystemExit as error:
        if error.code == "interrupted":  # setuptools' word for it
            raise KeyboardInterrupt from None
        return f"the C compiler fails: {str(error).removeprefix('error: ')[:100]}"
    return None


def unloadable(modules: list[str]) -> str | None:
    """Why a Python does not take the compiled modules, None where it does."""
    names = [name.removesuffix(".py").replace("/", ".") for name in modules]
    command = [sys.executable, "-c", LOAD, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return None if done.returncode == 0 else f"what was compiled cannot be loaded: {said[-1]}"


if __name__ == "__main__":
    main()
