"""Build the wheels of this state of the sources, once, and install them in an environment.

    python .ci/wheel.py          prints where they are installed: build/DIGEST
    python .ci/wheel.py --dist   copies the wheels to dist/

The hot path is compiled if a C compiler works here; if none does, one line says why, and the
wheel is a pure one, which is slower and otherwise the same. The digest is that of all that goes
into the wheels, so a state is built once, and a state that is in use stays as it is while
another one is built. Needs the project's development dependencies.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
INPUTS = (
    *("actors", "messages", "persistence", "hatch_build.py", "pyproject.toml", "README.md"),
    *("LICENSE", ".ci/constraints.txt", ".ci/runtime.txt", ".ci/install", ".ci/wheel.py"),
)
KEPT = 2
"""How many states are kept: another `make` may still run tests on the one before."""
PROBE = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "probe"};
PyMODINIT_FUNC PyInit_probe(void) { return PyModule_Create(&module); }
"""


def main() -> None:
    """Do what the arguments ask for."""
    digest = state()
    env = BUILD / digest
    BUILD.mkdir(exist_ok=True)
    with locked():
        if not (env / "complete").exists():
            make(env)
            if state() != digest:
                sys.exit("the sources were changed while the wheels were built: run it again")
        (env / "complete").touch()
        remove_old()
    if sys.argv[1:] != ["--dist"]:
        print(env)
        return
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)
    for wheel in sorted((env / "wheels").iterdir()):
        print(shutil.copy(wheel, dist))


def state() -> str:
    """The digest of all that goes into the wheels, by name and content."""
    digest = blake2b(digest_size=8)
    digest.update(f"{sys.version} {sysconfig.get_config_var('EXT_SUFFIX')} {compiler()}".encode())
    for name in INPUTS:
        place = ROOT / name
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and "__pycache__" not in path.parts:
                content = path.read_bytes()
                digest.update(f"{path.relative_to(ROOT)} {len(content)} ".encode() + content)
    return digest.hexdigest()


@contextmanager
def locked() -> Iterator[None]:
    """One at a time; whoever waited finds it done."""
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make(env: Path) -> None:
    """Build both wheels and install them with all that running needs."""
    shutil.rmtree(env, ignore_errors=True)
    wheels = env / "wheels"
    wheels.mkdir(parents=True)
    missing = lacking() or broken()
    if missing:
        say(f"a pure wheel, which is slower and otherwise the same: {missing}")
    else:
        say("compiling the hot path: a minute or two, once for each state of the sources")
    build(ROOT, wheels, hooks=not missing)
    build(ROOT / "messages", wheels, hooks=False)
    install = [str(ROOT / ".ci" / "install"), "wheel", str(env), *map(str, wheels.iterdir())]
    environ = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(install, env=environ, stdout=sys.stderr, check=True)


def build(project: Path, wheels: Path, *, hooks: bool) -> None:
    """Build the wheel of one project; what is said of it is shown if it fails."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    environ = {**os.environ, "HATCH_BUILD_HOOKS_ENABLE": str(hooks).lower()}
    done = subprocess.run(
        command, cwd=project, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}the wheel of {project} cannot be built")


def remove_old() -> None:
    """Remove what is half made, and all states but the last ones that were asked for."""
    found = [path for path in BUILD.iterdir() if path.is_dir()]
    states = [path for path in found if (path / "complete").exists()]
    states.sort(key=lambda path: (path / "complete").stat().st_mtime, reverse=True)
    for path in {*found} - {*states[:KEPT]}:
        shutil.rmtree(path)


def compiler() -> str:
    """The command of the C compiler."""
    return os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"


def lacking() -> str | None:
    """What a compilation needs and this machine has not."""
    name = shlex.split(compiler())[0]
    if shutil.which(name) is None:
        return f"there is no C compiler ({name})"
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    return None if header.exists() else f"there is no header of Python ({header.name})"


def broken() -> str | None:
    """Why the C compiler makes no module of the smallest source, None if it does."""
    with tempfile.TemporaryDirectory() as scratch:
        source, made = Path(scratch, "probe.c"), Path(scratch, "probe.so")
        source.write_text(PROBE, encoding="utf-8")
        include = f"-I{sysconfig.get_paths()['include']}"
        command = [*shlex.split(compiler()), "-shared", "-fPIC", include, str(source), "-o", made]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            return f"the C compiler fails: {said[0][:100]}"
        return None if made.exists() else "the C compiler does nothing"


def say(what: str) -> None:
    """Tell a person; what is printed is for the caller."""
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
