"""What was accepted as lost stays lost with a backup from before: nothing counts twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from persistence.sqlite.backup import back_up
from tests.runtime.test_mended import command, lose, serving, use, verified
from tests.support.data import edit
from tests.support.mending import broken, losses


@pytest.mark.parametrize("what", ["keys", "counters"])
async def test_no_row_comes_back_beside_those_that_were_written_since_it_was_lost(
    tmp_path: Path, what: str
) -> None:
    directory, backup = tmp_path / "data", tmp_path / "before.db"
    async with serving(directory) as rig:
        await use(rig)
    edit(directory, "DELETE FROM snapshots")
    back_up(directory, backup)
    gone = lose(directory, "event_id = 't1'")
    assert command(directory, "--yes", "--accept-loss")[0] == 0
    async with serving(directory, snapshot_events=1) as rig:
        if what == "keys":
            again = await rig.ask("track", provider="tavily", event_id="t1")
            assert again.body["duplicate"] is False, "its row is lost"
        await rig.ask("track", provider="tavily", event_id="new")
        before = (await rig.ask("stats")).body["total_calls"]
    lost = losses(directory).all
    assert lose(directory, "event_id = 'h'")
    code, said = command(directory, "--yes", "--backup", str(backup))
    assert (code, said["outcome"], said["stay_lost"]) == (0, "mended", len(gone))
    assert losses(directory).all == lost
    assert broken(directory) == []
    code, named, found = verified(directory)
    assert (code, [one["first"] for one in named], found) == (0, gone, [])
    async with serving(directory) as rig:
        entries = (await rig.ask("logs", limit=100)).body["logs"]
        keys = [one["event_id"] for one in entries]
        assert len(keys) == len({*keys}), "a key counts twice"
        stats = (await rig.ask("stats")).body
        assert stats["total_calls"] == len(entries) == before
        assert (await rig.answer(rig.rebuild())).body["changed"] is False
