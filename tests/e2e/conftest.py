from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from messages.subjects import PREFIX, mapping
from tests.support.nats import NatsServer, start_nats_server
from tests.support.raw import RawClient
from tests.support.service import Service

HANGS_S = 600
"""A hang is found all the same, and a busy machine may take minutes for the longest tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this tier more time than the others."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(HANGS_S))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`meterd up` for a whole module, which must end in order."""
    with Service(tmp_path_factory.mktemp("up") / "data") as service:
        yield service
        assert service.terminate() == 0


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Service]:
    """`meterd up`, ready."""
    with Service(tmp_path / "data") as service:
        yield service


@pytest.fixture
def client(up: Service) -> Iterator[RawClient]:
    """A connection to the server of `up`."""
    with RawClient(up.url) as client:
        yield client


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server with the partition mapping."""
    source, target = mapping(PREFIX)
    server = start_nats_server(tmp_path, f'mappings: {{ "{source}": "{target}" }}')
    yield server
    server.kill()


@pytest.fixture
def serve(nats_server: NatsServer, tmp_path: Path) -> Iterator[Service]:
    """`meterd serve` on a nats-server that outlives it, ready."""
    with Service(
        tmp_path / "data", command="serve", env={"METERD_NATS_URL": nats_server.url}
    ) as service:
        yield service
