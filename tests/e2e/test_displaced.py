"""The data directory is removed or replaced under the running service."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from messages.subjects import PREFIX, request_subject
from tests.support.raw import RawClient
from tests.support.service import Service

TRACK = request_subject(PREFIX, "track", "alice")
STATS = request_subject(PREFIX, "stats", "alice")


def replace(directory: Path) -> None:
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    directory.rename(directory.with_name("moved"))
    copy.rename(directory)


@pytest.mark.parametrize("displace", [shutil.rmtree, replace])
def test_once_its_log_is_gone_nothing_is_acknowledged_and_the_service_ends_with_its_name(
    serve: Service, displace: Callable[[Path], None]
) -> None:
    with RawClient(serve.url) as client:
        assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2
        displace(serve.data_dir)
        while (reply := client.request(TRACK, {"provider": "exa"})).status != "503":
            assert reply.json()["error"]["code"] == "unavailable"
    assert serve.wait() == 1
    lines = serve.stderr.splitlines()
    database = serve.data_dir / "meterd.db"
    assert lines[-1].startswith(f"meterd: {database} was removed or replaced while")
    assert "Traceback" not in serve.stderr


def test_a_service_that_nobody_asks_notices_as_well(serve: Service) -> None:
    shutil.rmtree(serve.data_dir)
    assert serve.wait() == 1
    assert "was removed or replaced" in serve.stderr.splitlines()[-1]
    assert not serve.data_dir.exists(), "nothing is written to a place that may be another's"


def test_calls_acknowledged_before_the_wal_was_removed_are_there_at_the_next_start(
    serve: Service,
) -> None:
    with RawClient(serve.url) as client:
        for count in range(20):
            assert client.request(TRACK, {"provider": "exa"}).json()["seq"] == 2 + count
        (serve.data_dir / "meterd.db-wal").unlink()
        while (reply := client.request(TRACK, {"provider": "exa"})).status != "503":
            assert reply.json()["error"]["code"] == "unavailable"
        assert serve.wait() == 1
        assert serve.stderr.splitlines()[-1].endswith("is in meterd.db now, start again")
        serve.start()
        assert client.request(STATS).json()["total_calls"] == 20
