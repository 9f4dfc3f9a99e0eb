"""That the processes under test run the compiled wheel, if there is one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hatch_build import compiled_modules
from tests.support.environments import Environment
from tests.support.meterd import ENVIRONMENT, IS_COMPILED, form
from tests.support.service import ROOT, Service

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason=form())

LOAD = """
import importlib, sys
from pathlib import Path
import meterd_server
sys.path.insert(0, str(Path(meterd_server.__file__).parent))
for name in sys.argv[1:]:
    found = importlib.import_module(name).__file__
    assert found.endswith(".so") and "/meterd_server/" in found, found
"""


def test_every_module_of_the_hot_path_is_loaded_compiled_from_the_wheel(tmp_path: Path) -> None:
    names = [name.removesuffix(".py").replace("/", ".") for name in compiled_modules(ROOT)]
    assert len(names) > 30
    done = subprocess.run(
        [f"{ENVIRONMENT}/bin/python", "-c", LOAD, *names],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_other_module_of_the_wheel_is_compiled() -> None:
    inside = Environment(Path(ENVIRONMENT)).packages / "meterd_server"
    found = {
        f"{path.relative_to(inside).parent}/{path.name.partition('.')[0]}.py"
        for path in inside.rglob("*.so")
    }
    assert found == {*compiled_modules(ROOT), "actors/compiled__mypyc.py"}


def test_there_is_no_compiled_module_in_the_checkout() -> None:
    folders = ("actors", "messages", "persistence")
    assert [path for name in folders for path in (ROOT / name).rglob("*.so")] == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a process has mapped")
def test_the_service_under_test_has_the_compiled_modules_in_its_memory(service: Service) -> None:
    maps = Path(f"/proc/{service.pid}/maps").read_text().splitlines()
    mapped = {line.split(maxsplit=5)[5] for line in maps if line.endswith(".so")}
    ours = {path for path in mapped if "/meterd_server/" in path}
    assert all(path.startswith(f"{Path(ENVIRONMENT).resolve()}/") for path in ours)
    # All of the code is in the first; the file of a module is mapped if the sources import it.
    for name in ("actors/compiled__mypyc", "actors/edge/dispatch", "messages/units"):
        assert any(f"/meterd_server/{name}." in path for path in ours), name
