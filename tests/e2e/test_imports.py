"""`meterd prices import`, and CloudEvents by `meterd import`, into a running service."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from messages.subjects import PREFIX, request_subject
from tests.support.meterd import METERD
from tests.support.raw import RawClient
from tests.support.service import ROOT, Service


def import_prices(url: str, *args: str) -> Any:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
    done = subprocess.run(
        [*METERD, "prices", "import", *args],
        cwd=ROOT,
        env={**environ, "METERD_NATS_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_list_is_put_once_and_again_when_its_prices_change(
    up: Service, client: RawClient, tmp_path: Path
) -> None:
    file = tmp_path / "prices.json"
    row: dict[str, Any] = {"litellm_provider": "openai", "output_cost_per_token": 0.5}

    def listed(price: float) -> Any:
        file.write_text(json.dumps({"gpt-9": {**row, "input_cost_per_token": price}}))
        report = import_prices(up.url, "--file", str(file))
        return report["put"], report["same"]

    assert listed(0.25) == (1, 0)
    assert listed(0.25) == (0, 1)
    assert listed(0.5) == (1, 0)
    assert listed(0.25) == (1, 0)  # back again: a change like any other
    call = {"provider": "openai", "model_used": "gpt-9", "tokens_input": 1, "tokens_output": 1}
    reply = client.request(request_subject(PREFIX, "track", "alice"), call).json()
    assert (reply["cost"], reply["priced"]) == (0.75, "catalog")


def test_the_package_is_imported_whole_and_a_second_time_changes_nothing(up: Service) -> None:
    first = import_prices(up.url, "--provider", "mistral")
    # Most of it is there from the beginning: the default list is made of the same package.
    assert first["put"] + first["same"] > 10
    again = import_prices(up.url, "--provider", "mistral", "--dry-run")
    assert (again["put"], again["same"]) == (0, first["put"] + first["same"])


def test_cloud_events_are_imported_and_are_the_same_as_over_nats(
    up: Service, client: RawClient, tmp_path: Path
) -> None:
    def event(number: int, **more: Any) -> dict[str, Any]:
        data = {"provider": "openai", "tokens_input": number}
        about = {"specversion": "1.0", "source": "/gw", "type": "call", "subject": "alice"}
        return {**about, "id": f"e-{number}", "data": data, **more}

    file = tmp_path / "events.jsonl"
    lines = [event(1), event(2), event(3, data=7), event(4)]
    file.write_text("\n".join(map(json.dumps, lines)))
    client.request(request_subject(PREFIX, "track", "alice"), event(2))
    environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
    done = subprocess.run(
        [*METERD, "import", str(file), "--json"],
        cwd=ROOT,
        env={**environ, "METERD_NATS_URL": up.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 3, done.stderr
    stats = client.request(request_subject(PREFIX, "stats", "alice"), {}).json()
    assert (stats["total_calls"], stats["total_tokens"]) == (3, 7)
