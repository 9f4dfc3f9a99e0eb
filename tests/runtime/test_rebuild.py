"""A state that is restored from the log alone, through the registry."""

from __future__ import annotations

from types import SimpleNamespace

from messages.subjects import PREFIX
from tests.support.faults import Fault
from tests.support.rig import Rig


async def test_a_state_that_is_lost_before_it_is_rebuilt_is_not_compared(rig: Rig) -> None:
    rig.journal.appends.close()
    lost = rig.track()
    await rig.journal.appends.waiting.wait()
    rig.journal.fail_appends(Fault.NOT_STORED)
    rig.journal.appends.open()
    message = SimpleNamespace(subject=f"{PREFIX}.ctl.rebuild.alice", reply="rebuilt")
    await rig.link.heard[f"{PREFIX}.ctl.rebuild.*"](message)

    assert [(await rig.answer(to)).code for to in (lost, "rebuilt")] == ["unavailable"] * 2
