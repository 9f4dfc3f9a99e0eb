"""A limit of the process's memory is reached, at a start or under load, in real processes."""

from __future__ import annotations

import json
import resource
import subprocess
from pathlib import Path
from typing import Any

from messages.subjects import PREFIX, request_subject
from tests.support.meterd import METERD
from tests.support.nats import NatsServer
from tests.support.raw import RawClient
from tests.support.service import Service, ServiceEndedError

LINE = "meterd: no memory is left: a limit of the process, container or machine is reached"
MIB = 1024 * 1024
ROOM = 24 * MIB
UNLIMITED = 3
"""How many batches are answered before there is a limit."""
NOBODY = "503"


def limited_to(mib: int) -> list[str]:
    """The command `meterd` with so many MiB of addresses, to which arguments are added."""
    return ["/bin/sh", "-c", f'ulimit -v {mib * 1024}; exec "$@"', "sh", *METERD]


def test_a_start_without_memory_ends_with_one_line_wherever_memory_runs_out(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    ended: list[tuple[int, str]] = []
    for mib in range(40, 240, 16):
        data = tmp_path / str(mib)
        service = Service(
            data,
            command="serve",
            env={"METERD_NATS_URL": nats_server.url, "METERD_LOG_LEVEL": "warning"},
            program=limited_to(mib),
        )
        try:
            service.start()
        except ServiceEndedError as error:
            ended.append((error.code, error.stderr))
        finally:
            service.kill()
    assert set(ended) == {(1, f"{LINE}\n")}


def vm_size(pid: int) -> int:
    """How many bytes of addresses a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmSize:"))
    return int(line.split()[1]) * 1024


def calls(number: int) -> dict[str, Any]:
    texts = {f"key{n}": f"{number}.{n}" * 10 for n in range(4)}
    return {
        "events": [
            {"provider": "exa", "event_id": f"k{number}.{n}", "metadata": texts} for n in range(400)
        ]
    }


def test_a_service_without_memory_ends_at_once_and_has_all_that_it_acknowledged(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    env = {"METERD_NATS_URL": nats_server.url, "METERD_DRAIN_S": "3600"}
    service = Service(tmp_path / "data", command="serve", env=env)
    acknowledged: dict[int, Any] = {}
    with service, RawClient(nats_server.url) as client:
        sent: list[int] = []
        while service.process.poll() is None:
            if len(sent) == UNLIMITED:
                client.collect(UNLIMITED)
                limit = vm_size(service.pid) + ROOM
                resource.prlimit(service.pid, resource.RLIMIT_AS, (limit, limit))
            assert len(sent) < 4_000, "it goes on"
            number = len(sent)
            subject = request_subject(PREFIX, "batch", f"u{number}")
            sent.append(client.post(subject, calls(number)))
            client.flush()
        # A library in C may crash when it finds no memory: that is as soon, and as harmless.
        code = service.wait()
        assert code < 0 or (code, service.stderr.splitlines()[-1]) == (1, LINE)
        assert "Traceback" not in service.stderr
        client.flush()
        for number, reply in enumerate(sent):
            found = client.replies.get(reply, [])
            if found and found[0].status != NOBODY and "error" not in found[0].json():
                acknowledged[number] = found[0].json()
        assert len(acknowledged) >= UNLIMITED
        service.start()
        for number, before in acknowledged.items():
            subject = request_subject(PREFIX, "batch", f"u{number}")
            again = client.request(subject, calls(number)).json()
            assert again["duplicates"] == before["accepted"] == 400
            assert json.dumps(again["results"]).count('"duplicate": true') == 400
    assert service.process.poll() is not None


def test_a_command_without_memory_says_so_in_one_line() -> None:
    found = subprocess.run(
        [*limited_to(36), "stats", "alice"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (1, f"{LINE}\n")
