"""CloudEvents in JSON Lines: unwrapped for the row, and whole again for the service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.cli.importer.cloudevents import unwrap
from actors.cli.importer.rows import open_rows

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/gateway",
    "type": "call",
    "subject": "alice",
    "time": "2026-03-15T11:00:00Z",
    "data": {"provider": "gemini", "tokens_input": 5},
}
ENVELOPE = {name: EVENT[name] for name in ("specversion", "id", "source", "type")}


def test_a_cloud_event_gives_user_key_and_time_if_its_data_do_not() -> None:
    cells, envelope = unwrap(EVENT)
    assert envelope == ENVELOPE
    assert cells == {
        "user": "alice",
        "event_id": "e-1",
        "timestamp": "2026-03-15T11:00:00Z",
        "provider": "gemini",
        "tokens_input": 5,
    }
    data = {"provider": "exa", "user": "bob", "event_id": "own"}
    cells, _ = unwrap({**EVENT, "data": data})
    assert (cells["user"], cells["event_id"]) == ("bob", "own")


def test_a_line_without_the_mark_is_a_plain_row() -> None:
    assert unwrap({"user": "a", "id": 1}) == ({"user": "a", "id": 1}, None)


@pytest.mark.parametrize(
    "change",
    [{"specversion": "0.3"}, {"id": ""}, {"source": 5}, {"type": None}, {"data": []}],
)
def test_an_invalid_cloud_event_spoils_only_its_row(tmp_path: Path, change: dict[str, Any]) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(event) for event in ({**EVENT, **change}, EVENT)))
    with open_rows(file, "jsonl") as (rows, _):
        first, second = list(rows)
    assert "CloudEvent" in (first.problem or "")
    assert (second.problem, second.envelope) == (None, ENVELOPE)
