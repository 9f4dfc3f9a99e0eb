"""Fresh environments: wheels that pip installs, and beside them what their metadata asks for."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from tests.support.meterd import ENVIRONMENT
from tests.support.service import ROOT

OURS = ("meterd", "meterd-client")


@dataclass(frozen=True)
class Environment:
    """A directory with a Python of its own, which sees only what was put there."""

    path: Path

    @property
    def packages(self) -> Path:
        (found,) = self.path.glob("lib/python*/site-packages")
        return found

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program of its ``bin``, away from the checkout."""
        return subprocess.run(
            [str(self.path / "bin" / command[0]), *command[1:]],
            cwd=self.path,
            env={"PATH": os.environ["PATH"], **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def fresh(path: Path, wheels: Iterable[Path]) -> Environment:
    """An environment with these wheels, and links to all that they require and nothing else."""
    venv.create(path, with_pip=False, symlinks=True)
    environment = Environment(path)
    pip = [sys.executable, "-m", "pip", "--python", str(path / "bin" / "python"), "install"]
    options = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, *options, *map(str, wheels)], check=True)
    installed = metadata.distributions(path=[str(environment.packages)])
    for name in closure([each for found in installed for each in found.requires or ()]):
        for file in metadata.distribution(name).files or ():
            top = file.parts[0]
            link = environment.packages / top
            if top not in {"..", "__pycache__"} and not link.exists():
                link.symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / top)
    return environment


def closure(required: Iterable[str]) -> set[str]:
    """The names of what these requirements ask for without extras, through all levels."""
    found: set[str] = set()
    waiting = list(required)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = requirement.name
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and name not in found and name not in OURS:
            found.add(name)
            waiting += metadata.requires(name) or ()
    return found


def wheels_of(directory: Path) -> tuple[Path, Path]:
    """The wheels of the service and of its client: those of `make`, else pure ones made here."""
    if ENVIRONMENT:
        directory = Path(ENVIRONMENT, "wheels")
    else:
        script = wheel_script()
        script.build(ROOT, directory, hooks=False)
        script.build(ROOT / "messages", directory, hooks=False)
    (server,) = directory.glob("meterd-*.whl")
    (client,) = directory.glob("meterd_client-*.whl")
    return server, client


def wheel_script() -> Any:
    """`.ci/wheel.py` as a module."""
    spec = spec_from_file_location("wheel_script", ROOT / ".ci" / "wheel.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny_wheel(directory: Path, name: str, files: dict[str, str]) -> Path:
    """A wheel of somebody else's with these files."""
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},sha256={_digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    path = directory / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()
