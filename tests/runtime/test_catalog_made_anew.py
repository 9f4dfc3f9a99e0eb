"""The catalogue while the index is made anew: a start waits for it, and who asks later is told."""

from __future__ import annotations

import pytest

from persistence.errors import BeingMade
from persistence.records import Row
from tests.runtime.test_rotten_rows import GPT, drop_the_catalogue
from tests.support.damage import break_reads, said
from tests.support.rig import Logs, Rig


async def test_while_the_index_is_made_anew_a_start_waits_until_all_prices_are_known(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await rig.catalog("prices.put", **GPT)).code == ""
    again = Rig(await rig.crash())
    history, tries = again.journal.history, 0

    async def made_at_the_third(user: str, after: int, limit: int) -> list[Row]:
        nonlocal tries
        tries += user == ""
        if tries < 3:
            raise BeingMade("index.db is made anew", 0)
        return await history(user, after, limit)

    monkeypatch.setattr(again.journal, "history", made_at_the_third)
    await again.service.start()
    answer = await again.ask("track", provider="openai", model_used="gpt-x", tokens_input=2)
    assert (answer.body["cost"], tries) == (2, 3)
    await again.stop()


async def test_while_the_index_is_made_anew_who_asks_for_the_catalogue_hears_how_long_that_takes(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await drop_the_catalogue(rig)
    break_reads(monkeypatch, rig.journal, BeingMade("index.db is made anew", 60), users=[""])
    error = (await rig.catalog("plans.list")).error
    assert (error["code"], error["retryable"], error["retry_after"]) == ("unavailable", True, 60)
    assert "recovery_failed" not in said(lines)
