"""What the service leaves on the disk: who may read it, and what is in it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from messages.subjects import PREFIX, request_subject
from tests.support.meterd import METERD
from tests.support.raw import RawClient
from tests.support.service import ROOT, Service

CALL: dict[str, Any] = {
    "provider": "tavily",
    "user_agent": "agent-of-alice",
    "ip_address": "203.0.113.7",
    "error_message": "alice had no luck",
    "metadata": {"session": "session-of-alice"},
}
TRACES = (b"agent-of-alice", b"203.0.113.7", b"no luck", b"session-of-alice")


def use(service: Service, user: str = "alice") -> None:
    """Leave calls, alerts and a snapshot; the alerts go into the stream."""
    with RawClient(service.url) as client:
        client.subscribe(f"{PREFIX}.alert.{user}.>")
        subject = request_subject(PREFIX, "track", user)
        for _ in range(20):
            assert "error" not in client.request(subject, CALL).json()
        client.next_message()


def open_to_others(root: Path) -> dict[str, str]:
    """Whatever below a directory, or it itself, is not for its owner alone, with its mode."""
    found = {}
    for path in [root, *root.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode != (0o700 if path.is_dir() else 0o600):
            found[str(path.relative_to(root))] = oct(mode)
    return found


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_whatever_the_service_makes_is_for_its_owner_alone(tmp_path: Path, umask: int) -> None:
    data = tmp_path / "data"
    with Service(data, umask=umask) as service:
        use(service)
        assert open_to_others(data) == {}
        made = {"meterd.db", "meterd.db-wal", "meterd.db-shm", "index.db", "meterd.lock"}
        assert made < names(data)
        assert {"nats/nats-server.conf", "nats/nats-server.log"} < names(data)
        assert any(name.endswith(".blk") for name in names(data / "nats" / "jetstream"))
        service.kill()
        assert open_to_others(data) == {}
        service.start()
        use(service, "bob")
        assert service.terminate() == 0
    assert {"meterd.db", "index.db"} < names(data)
    assert open_to_others(data) == {}


def test_a_look_at_the_log_leaves_nothing_for_others(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Service(data) as service:
        use(service)
        service.kill()
    environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
    command = [*METERD, "verify", "--data-dir", str(data), "--no-live"]
    done = subprocess.run(
        command, cwd=ROOT, env=environ, umask=0, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert open_to_others(data) == {}


@pytest.mark.parametrize("rule", ["keep", "hash", "drop"])
def test_hashed_or_dropped_fields_are_in_no_file_and_no_line(tmp_path: Path, rule: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret of the tests\n")
    fields = ("USER_AGENT", "IP_ADDRESS", "ERROR_MESSAGE", "METADATA")
    env = {f"METERD_PERSONAL_{field}": rule for field in fields}
    env |= {"METERD_PERSONAL_SECRET_FILE": str(secret), "METERD_LOG_LEVEL": "debug"}
    data = tmp_path / "data"
    with Service(data, env=env) as service:
        use(service)
        service.kill()  # the WAL stays as it is
        said = service.stderr.encode() + "".join(service.lines).encode()
    files = [path for path in data.rglob("*") if path.is_file()]
    assert len(files) > 5
    stored = b"".join(path.read_bytes() for path in files)
    assert b"tavily" in stored
    assert [trace in stored for trace in TRACES] == [rule == "keep"] * len(TRACES)
    assert not any(trace in said for trace in TRACES)
    assert b"a secret of the tests" not in stored + said
