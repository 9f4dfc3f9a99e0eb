"""What the doctor concludes from answers that take their time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

import msgspec
import pytest

from actors.cli import examining
from tests.sim.world.loop import in_virtual_time
from tests.support.answers import NOW

SLOW_S: Final = 2.5


class SlowService:
    """Takes long for each answer, by a clock that differs."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead = timedelta(seconds=ahead_s)

    def now(self, _zone: Any = UTC) -> datetime:
        """What the clock of whoever asks shows."""
        return NOW + timedelta(seconds=asyncio.get_running_loop().time())

    async def request(self, _subject: str, body: bytes, **_: float) -> Any:
        await asyncio.sleep(SLOW_S)
        deadline = msgspec.json.decode(body, type=dict[str, datetime])["deadline"]
        late = self.now() + self._ahead >= deadline
        return SimpleNamespace(headers={"Nats-Service-Error-Code": "504"} if late else None)


@pytest.mark.parametrize(("ahead_s", "word"), [(0, "apart"), (45, "ahead"), (-45, "behind")])
def test_an_answer_that_takes_long_is_no_clock_that_is_ahead(
    monkeypatch: pytest.MonkeyPatch, ahead_s: float, word: str
) -> None:
    service: Any = SlowService(ahead_s)
    monkeypatch.setattr(examining, "datetime", service)
    (found,) = in_virtual_time(lambda: examining.clock(service, "usage.v1", []))
    assert (found.level == "ok", word in found.what) == (ahead_s == 0, True)
