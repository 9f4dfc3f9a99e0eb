"""What is installed: two wheels, beside packages of others that have our folders' names."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from messages import __version__
from tests.support.environments import Environment, fresh, tiny_wheel, wheels_of
from tests.support.nats import nats_server_binary
from tests.support.service import Service

CALLER = """
import asyncio, sys
import actors, messages
from meterd import TrackReply, UsageClient

async def main():
    async with await UsageClient.connect(sys.argv[1]) as client:
        reply = await client.track("alice", provider="openai", tokens_input=374)
        assert isinstance(reply, TrackReply)
        stats = await client.stats("alice")
        print(actors.WHOSE, messages.WHOSE, stats.total_calls)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheels of the service and of its client."""
    return wheels_of(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wheels of somebody else's `messages` and `actors`."""
    directory = tmp_path_factory.mktemp("others")
    return [
        tiny_wheel(directory, name, {f"{name}/__init__.py": f"WHOSE = 'another {name}'\n"})
        for name in ("messages", "actors")
    ]


@pytest.fixture(scope="module")
def caller(
    tmp_path_factory: pytest.TempPathFactory, wheels: tuple[Path, Path], others: list[Path]
) -> Environment:
    """What a caller of meterd has: the client, and its own packages."""
    return fresh(tmp_path_factory.mktemp("caller"), [wheels[1], *others])


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, wheels: tuple[Path, Path], others: list[Path]
) -> Environment:
    """The service and its client in one environment, beside packages of others."""
    return fresh(tmp_path_factory.mktemp("both"), [*wheels, *others])


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def metadata_of(wheel: Path) -> Message:
    (name,) = [name for name in names_in(wheel) if name.endswith(".dist-info/METADATA")]
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(name).decode())


def needs(wheel: Path) -> set[str]:
    """The packages that it requires without extras."""
    texts = metadata_of(wheel).get_all("Requires-Dist") or []
    found = [Requirement(text) for text in texts]
    return {f"{each.name}{each.specifier}" for each in found if each.marker is None}


def test_each_wheel_owns_one_name_and_their_versions_are_one(wheels: tuple[Path, Path]) -> None:
    server, client = wheels
    for wheel, name, own in [
        (server, "meterd", "meterd_server"),
        (client, "meterd-client", "meterd"),
    ]:
        info = f"{name.replace('-', '_')}-{__version__}.dist-info"
        assert {path.partition("/")[0] for path in names_in(wheel)} == {own, info}
        assert metadata_of(wheel)["Version"] == __version__
        assert any(path.endswith("/LICENSE") for path in names_in(wheel))
    assert f"meterd-client=={__version__}" in needs(server)
    assert {each.partition(">")[0] for each in needs(client)} == {"msgspec", "nats-py"}


def test_both_wheels_have_every_module_of_the_checkout(wheels: tuple[Path, Path]) -> None:
    root = Path(__file__).resolve().parents[2]
    folders = [root / name for name in ("actors", "messages", "persistence")]
    sources = {str(f.relative_to(root)) for folder in folders for f in folder.rglob("*.py")}
    server, client = map(names_in, wheels)
    inside = {f"meterd_server/{name}" for name in sources - {"actors/launcher.py"}}
    assert inside | {"meterd_server/__init__.py"} <= set(server)
    contract = {name for name in sources if name.startswith("messages/")}
    assert {name.replace("messages", "meterd", 1) for name in contract} <= set(client)
    assert len(sources) > 100
    for name in ("py.typed", "persistence/sqlite/sql/001_log.sql", "plans.json"):
        assert any(path.endswith(name) for path in server)
    assert "meterd/py.typed" in client


def test_a_caller_with_packages_of_our_folders_names_calls_a_service(
    caller: Environment, service: Service
) -> None:
    done = caller.run("python", "-c", CALLER, service.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "another actors another messages 1\n"


def test_an_environment_of_callers_has_only_what_the_client_asks_for(caller: Environment) -> None:
    names = {path.name for path in caller.packages.iterdir()}
    assert not names & {"aiosqlite", "structlog", "meterd_server"}
    assert names >= {"meterd", "msgspec", "nats", "messages"}


def test_if_only_the_client_is_installed_the_command_says_what_is_missing(
    caller: Environment,
) -> None:
    done = caller.run("python", "-m", "meterd", "up")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "pip install meterd\n" in done.stderr


@pytest.mark.parametrize("command", ["meterd", "python -m meterd"])
def test_the_service_starts_beside_packages_of_our_folders_names(
    tmp_path: Path, both: Environment, command: str
) -> None:
    program, *arguments = command.split()
    with Service(
        tmp_path / "data",
        env={"METERD_NATS_SERVER": nats_server_binary()},
        program=(str(both.path / "bin" / program), *arguments),
    ) as service:
        done = both.run("python", "-c", CALLER, service.url)
        assert (done.stdout, done.stderr) == ("another actors another messages 1\n", "")
        assert service.terminate() == 0


def test_the_base_install_has_help_and_version(both: Environment) -> None:
    assert both.run("meterd", "--version").stdout == f"meterd {__version__}\n"
    for arguments in ((), ("--help",)):
        done = both.run("meterd", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "serve" in done.stdout


def test_pip_finds_no_file_of_others_in_our_wheels(
    wheels: tuple[Path, Path], others: list[Path]
) -> None:
    files = [names_in(wheel) for wheel in (*wheels, *others)]
    assert len({name for names in files for name in names}) == sum(map(len, files))


def test_a_source_distribution_builds_a_pure_wheel(tmp_path: Path) -> None:
    """What pip does with one; the build is that of its files alone."""
    root = Path(__file__).resolve().parents[2]
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path), "-t"]
    subprocess.run([*build, "sdist"], cwd=root, check=True, capture_output=True)
    (archive,) = tmp_path.glob("meterd-*.tar.gz")
    subprocess.run(["tar", "xf", str(archive)], cwd=tmp_path, check=True)
    (source,) = tmp_path.glob("meterd-*/")
    subprocess.run([*build, "wheel"], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"meterd-{__version__}-py3-none-any.whl"
    assert "meterd_server/__init__.py" in names_in(wheel)
