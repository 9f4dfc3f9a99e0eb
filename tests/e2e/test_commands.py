"""The verbs as commands of the shell, against a running service."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.meterd import METERD
from tests.support.service import ROOT, Service

Meterd = Callable[..., tuple[int, Any]]


@pytest.fixture
def meterd(service: Service) -> Meterd:
    """Runs a command; gives its exit code and its reply or what it complains of."""

    def run(*args: str, stdin: str = "") -> tuple[int, Any]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
        done = subprocess.run(
            [*METERD, *args],
            cwd=ROOT,
            env={**environ, "METERD_NATS_URL": service.url},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    return run


def test_a_hold_from_placing_to_settling(meterd: Meterd) -> None:
    overrides = ("--override", "openai_tokens=500", "--override", "monthly_cost=2.5")
    code, reply = meterd("subscribe", "h", "--plan", "Pro", *overrides)
    assert (code, reply["subscription"]["overrides"]) == (
        0,
        {"monthly_cost": 2.5, "openai_tokens": 500},
    )
    asked = ("hold", "h", "--provider", "openai", "--tokens-requested")
    code, held = meterd(*asked, "400", "--ttl", "90", "--event-id", "one")
    assert (code, held["hold_id"]) == (0, "one")
    assert meterd(*asked, "101")[0] == 4
    assert meterd("extend", "h", "one", "--tokens-requested", "500")[0] == 0
    assert len(meterd("holds", "h")[1]["holds"]) == 1
    assert meterd("release", "h", "one")[1]["released"]
    code, said = meterd("release", "h", "one")
    assert (code, "unknown_hold" in said) == (1, True)


def test_batches_and_preflights_of_files_and_stdin(meterd: Meterd, tmp_path: Path) -> None:
    events = [{"provider": "exa", "cost": 0.1}, {"provider": "nobody"}]
    lines = "\n".join(map(json.dumps, events))
    code, reply = meterd("batch", "b", "-", stdin=lines)
    assert (code, reply["accepted"], reply["rejected"]) == (0, 1, 1)
    file = tmp_path / "operations.json"
    file.write_text(json.dumps([{"provider": "exa"}, {"provider": "exa"}]))
    code, reply = meterd("preflight", "b", str(file), "--hold")
    assert (code, len(reply["operations"])) == (0, 2)
    file.write_text(json.dumps([{"provider": "video"}]))
    assert meterd("preflight", "b", str(file))[0] == 4
    file.write_text("{nonsense")
    code, said = meterd("preflight", "b", str(file))
    assert (code, "not JSON" in said) == (2, True)


def test_plans_alerts_and_summaries(meterd: Meterd) -> None:
    for _ in range(8):
        assert meterd("track", "a", "--provider", "exa")[0] == 0
    code, alerts = meterd("alerts", "a", "--unread")
    assert (code, alerts["unread_count"]) == (0, 1)
    assert meterd("ack", "a", alerts["alerts"][0]["id"])[1]["acked"] == 1
    assert meterd("ack", "a")[1]["acked"] == 0
    assert meterd("subscribe", "a", "--plan", "pro", "--cycle", "yearly")[0] == 0
    assert (
        meterd("suspend", "a", "--reason", "not paid", "--yes")[1]["subscription"]["status"]
        == "suspended"
    )
    assert meterd("resume", "a")[1]["subscription"]["status"] == "active"
    assert meterd("cancel", "a")[1]["subscription"]["cancel_at_period_end"]
    assert meterd("cancel", "a", "--now")[1]["subscription"]["status"] == "cancelled"
    assert len(meterd("subscription", "a")[1]["history"]) == 1
    assert len(meterd("trends", "a", "--months", "3")[1]["periods"]) == 3
    assert meterd("dashboard", "a")[1]["projections"]["cost_limit"] == 2
    assert meterd("subscribe", "a", "--plan", "pro", "--override", "openai_calls")[0] == 2
