"""An alert that cannot be read cannot be published: all others are, and the log names the row."""

from __future__ import annotations

from typing import Any

import pytest

from persistence.errors import Corrupt
from persistence.records import Row
from tests.support.damage import damaged, rot, said
from tests.support.rig import Logs, Rig


async def test_the_outbox_goes_on_behind_a_damaged_row(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.link.failing = 10**6
    users = [f"u{n}" for n in range(300)]  # more than are read together
    for user in users:
        await rig.ask("track", user, provider="tavily")  # each opens a period, which is told
    bad = {row.seq for row in rig.inner._rows if row.notify and row.user in {"u7", "u8", "u290"}}
    notices, reads = rig.journal.notices, 0

    async def broken(after: int, limit: int) -> list[Row]:
        nonlocal reads
        reads += 1
        rows = await notices(after, limit)
        seen = [row.seq for row in rows if row.seq in bad]
        if seen:  # it may name more than what is next, of which some can be read
            raise damaged(min(seen), max(bad))
        return rows

    monkeypatch.setattr(rig.journal, "notices", broken)
    rig.relay.reread()
    rig.link.failing = 0
    await rig.idle()

    told = {one.subject.rpartition(".")[2] for one in rig.link.published}
    assert told == {*users} - {"u7", "u8", "u290"}
    assert said(lines).count("damaged") == 3
    assert reads < 100
    assert await rig.inner.published() == max(row.seq for row in rig.inner._rows if row.notify)

    await rig.ask("track", "later", provider="tavily")
    await rig.idle()
    assert rig.link.published[-1].subject.endswith(".later")


@pytest.mark.parametrize("fields", [{"body": "{"}, {"kind": "usage"}, {"at": 2**62}])
async def test_the_outbox_goes_on_behind_a_row_that_cannot_be_decoded(
    rig: Rig, lines: Logs, fields: dict[str, Any]
) -> None:
    rig.link.failing = 10**6
    for user in ("alice", "bob"):
        for _ in range(10):
            await rig.ask("track", user, provider="tavily")
    seq = next(row.seq for row in rig.inner._rows if row.notify and row.user == "alice")
    rot(rig.inner, seq, **fields)
    rig.relay.reread()
    rig.link.failing = 0
    await rig.idle()
    assert len([one for one in rig.link.published if ".bob" in one.subject]) == 4
    places = [line["place"] for line in lines if line["event"] == "damaged"]
    assert places == [f"row {seq}"]
    assert rig.ended == []


async def test_an_outbox_that_does_not_know_where_to_go_on_says_so_and_waits(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.ask("track", provider="tavily")
    await rig.idle()
    with monkeypatch.context() as patch:
        tried = 0

        async def broken(*_: int) -> list[Row]:
            nonlocal tried
            tried += 1
            rig.link.arrived.set()
            raise Corrupt("database disk image is malformed")

        patch.setattr(rig.journal, "notices", broken)
        rig.relay.reread()
        await rig.ask("track", "bob", provider="tavily")
        await rig.link.until(lambda: tried > 30)
    await rig.idle()
    assert said(lines) == ["damaged", "publish_failed"]
    (line,) = [line for line in lines if line["event"] == "publish_failed"]
    assert "meterd.db" in line["error"]
    assert "meterd mend" in line["error"]
    assert [one.subject.split(".")[2:] for one in rig.link.published][-1][-1] == "bob"
