"""Every damage of every file of a small directory, in process: the whole of `tests/sweep`."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

from tests.sweep.outcomes import complaints, table
from tests.sweep.sweeping import EVERY, sweep
from tests.torture.rounds import Result


async def damage_everything(directory: Path, seed: int, times: int) -> Result:
    """All of it, however often it is to strike; nothing is drawn."""
    outcomes = await asyncio.to_thread(sweep, EVERY, os.cpu_count() or 1, quick=False)
    print(table(outcomes), flush=True)
    bad = [outcome for outcome in outcomes if outcome.is_bad]
    assert not bad, complaints(bad)
    notes = dict(Counter(outcome.what for outcome in outcomes))
    return Result("sweep", times=len(outcomes), notes=notes)
