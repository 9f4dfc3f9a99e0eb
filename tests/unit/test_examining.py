"""What the doctor concludes from answers that take their time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

import pytest

from actors.cli import examining
from messages.codec import encode_reply
from messages.errors import ErrorReply, RequestError
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

    async def request(self, _subject: str, _body: bytes, **_: float) -> Any:
        await asyncio.sleep(SLOW_S / 2)
        why = RequestError("invalid_request", "no object").body(None, self.now() + self._ahead)
        await asyncio.sleep(SLOW_S / 2)
        return SimpleNamespace(data=encode_reply(ErrorReply(why)), headers=None)


@pytest.mark.parametrize(("ahead_s", "word"), [(0, "apart"), (45, "ahead"), (-45, "behind")])
def test_an_answer_that_takes_long_is_no_clock_that_is_ahead(
    monkeypatch: pytest.MonkeyPatch, ahead_s: float, word: str
) -> None:
    service: Any = SlowService(ahead_s)
    monkeypatch.setattr(examining, "datetime", service)
    (found,) = in_virtual_time(lambda: examining.clock(service, "usage.v1", []))
    assert (found.level == "ok", word in found.what) == (ahead_s == 0, True)
