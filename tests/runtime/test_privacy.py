from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.rig import Rig, Start

CALL: dict[str, Any] = {
    "event_id": "e-1",
    "user_agent": "agent-of-alice",
    "ip_address": "203.0.113.7",
    "error_message": "alice had no luck",
    "metadata": {"session": "session-of-alice"},
}
TRACES = (b"agent-of-alice", b"203.0.113.7", b"no luck", b"session-of-alice")


@pytest.fixture
def hashing(tmp_path: Path) -> dict[str, Any]:
    """Settings that hash two fields and drop the others."""
    secret = tmp_path / "secret"
    secret.write_text("a secret of the tests\n")
    return {
        "personal_ip_address": "hash",
        "personal_metadata": "hash",
        "personal_user_agent": "drop",
        "personal_error_message": "drop",
        "personal_secret_file": str(secret),
    }


def rows_of(rig: Rig) -> bytes:
    return repr(rig.inner._rows).encode()


async def test_fields_are_stored_as_they_come_by_default(start: Start) -> None:
    rig = await start()
    await rig.answer(rig.track(**CALL))
    entry = (await rig.ask("logs")).body["logs"][0]
    assert {name: entry[name] for name in CALL} == CALL
    assert all(trace in rows_of(rig) for trace in TRACES)


@pytest.mark.parametrize("verb", ["track", "batch"])
async def test_nothing_that_is_to_be_hashed_or_dropped_is_ever_stored(
    start: Start, hashing: dict[str, Any], verb: str
) -> None:
    rig = await start(**hashing)
    call: dict[str, Any] = {"provider": "tavily", **CALL}
    body: dict[str, Any] = call if verb == "track" else {"events": [call]}
    assert not (await rig.ask(verb, **body)).code
    entry = (await rig.ask("logs")).body["logs"][0]
    assert entry["event_id"] == "e-1"
    assert entry["user_agent"] is None
    assert entry["error_message"] is None
    assert entry["ip_address"].startswith("hash:")
    assert entry["metadata"]["session"].startswith("hash:")
    assert not any(trace in rows_of(rig) for trace in TRACES)


async def test_a_call_that_comes_again_is_the_same_call_also_after_a_restart(
    start: Start, hashing: dict[str, Any]
) -> None:
    rig = await start(**hashing)
    first = (await rig.answer(rig.track(**CALL))).body
    again = (await rig.answer(rig.track(**CALL))).body
    assert again == {**first, "duplicate": True}
    rig = await start(await rig.crash(), **hashing)
    assert (await rig.answer(rig.track(**CALL))).body == again
    call = {"provider": "tavily", **CALL}
    (result,) = (await rig.ask("batch", events=[call])).body["results"]
    assert result == again
    other = {**CALL, "ip_address": "203.0.113.8"}
    assert (await rig.answer(rig.track(**other))).code == "idempotency_mismatch"
