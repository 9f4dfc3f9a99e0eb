"""The verbs as commands of the shell, against a running service."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import WAIT_S, patient
from tests.support.meterd import METERD
from tests.support.service import ROOT, Service

Meterd = Callable[..., tuple[int, Any]]


@pytest.fixture
def meterd(service: Service) -> Meterd:
    """Runs a command; gives its exit code and its reply or what it complains of."""

    def run(*args: str, stdin: str = "") -> tuple[int, Any]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
        done = subprocess.run(
            [*METERD, *patient(*args)],
            cwd=ROOT,
            env={**environ, "METERD_NATS_URL": service.url},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * WAIT_S,
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


def test_an_invoice_of_a_running_service_comes_to_its_stats(meterd: Meterd, tmp_path: Path) -> None:
    calls = [
        {"provider": "openai", "tokens_input": 7, "tokens_cache_read": 3, "tokens_output": 1},
        {"provider": "gemini", "tokens_input": 1234567, "tokens_output": 89},
        {"provider": "openai", "model_used": "nobody-knows", "tokens_input": 11},
        {"provider": "exa"},
        {"provider": "tavily", "search_count": 3},
        {"provider": "anthropic", "tokens_input": 5, "cost": 0.000000001},
    ]
    file = tmp_path / "calls.json"
    file.write_text(json.dumps(calls))
    assert meterd("batch", "inv", str(file))[1]["accepted"] == len(calls)
    total = Decimal(str(meterd("stats", "inv")[1]["total_cost"]))
    out = tmp_path / "invoice.csv"
    assert meterd("export", "invoice", "inv", "--output", str(out))[0] == 0
    lines = list(csv.DictReader(out.read_text().splitlines()))
    assert sum(Decimal(line["amount"]) for line in lines) == total
    assert {line["priced"] for line in lines} >= {"catalog", "caller"}


def test_the_catalogue_from_the_command_line(meterd: Meterd, tmp_path: Path) -> None:
    plan = meterd("plans", "list")[1]["plans"][0] | {"name": "Own", "tier": "own"}
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan))
    assert meterd("plans", "put", str(file))[1]["plan"]["name"] == "Own"
    file.write_text(json.dumps({"provider": "exa", "model": "own", "cost_per_request": 0.25}))
    assert meterd("prices", "put", str(file))[0] == 0
    assert len(meterd("prices", "list", "--model", "own")[1]["prices"]) == 1
    assert meterd("estimate", "--provider", "exa", "--model-used", "own")[1]["cost"] == 0.25
    assert "gemini" in {entry["name"] for entry in meterd("providers")[1]["providers"]}
    call = ("--provider", "openai", "--model-used", "unheard-of", "--tokens-input", "5")
    assert meterd("track", "odd", *call)[0] == 0
    rows = meterd("prices", "unpriced", "--since", "2026-01-01T00:00:00Z")[1]["rows"]
    assert ("unheard-of", "estimate", 1) in {(r["model"], r["how"], r["users"]) for r in rows}
    for user, cost in (("cheap", "1"), ("dear", "3"), ("middle", "2")):
        assert meterd("track", f"by-{user}", "--provider", "exa", "--cost", cost)[0] == 0
    users = meterd("users", "--sort", "cost", "--prefix", "by-", "--limit", "2")[1]["users"]
    assert [user["user_id"] for user in users] == ["by-dear", "by-middle"]
