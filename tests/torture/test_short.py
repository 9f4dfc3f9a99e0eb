"""A little of `make torture`, in a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import disks, kills, mixed, power
from tests.torture.rounds import run_round
from tests.torture.shim import NoCompilerError, library

SEED = 7
# A hang is found all the same, and a busy machine may take minutes for a round.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def _shim() -> None:
    try:
        library()
    except NoCompilerError as error:
        pytest.skip(str(error))


async def test_whatever_dies_no_acknowledged_change_is_lost_or_doubled(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    fault = mixed.in_turn(
        kills.kill_service_at_a_call,
        kills.kill_nats,
        kills.kill_service,
        kills.move_clock,
        kills.kill_both,
    )
    result = await run_round("deaths", fault, tmp_path / "round", SEED, times=5)
    assert result.killed >= 3
    assert result.compared > 100


async def test_whatever_the_disk_does_no_acknowledged_change_is_lost_or_doubled(
    tmp_path: Path,
) -> None:
    print(f"seed {SEED}")
    fault = mixed.in_turn(
        disks.half_a_second,
        disks.cut_writes,
        *mixed.DISK_FAULTS,
        disks.read_only,
        disks.failing_sync_of_the_log,
    )
    times = len(mixed.DISK_FAULTS) + 4
    result = await run_round("disk", fault, tmp_path / "round", SEED, times=times)
    assert result.notes["failed calls"] > times
    assert any("the disk failed" in line for line in result.failed)
    assert any("Read-only file system" in line for line in result.failed)
    assert result.compared > 100


async def test_a_cut_of_the_power_takes_nothing_along_that_was_acknowledged(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    fault = power.cutting(power.lose)
    result = await run_round("power", fault, tmp_path / "round", SEED, times=2, power=True)
    assert result.notes["writes not synced"]
    assert result.compared > 50


async def test_a_disk_that_lies_about_its_syncs_is_found_out(tmp_path: Path) -> None:
    """The test of the tests: what was acknowledged is lost, and the judges say so."""
    print(f"seed {SEED}")
    fault = power.cutting(power.lose_what_was_synced)
    with pytest.raises(ExceptionGroup) as caught:
        await run_round("lies", fault, tmp_path / "round", SEED, times=2, power=True)
    assert caught.group_contains(AssertionError)


async def test_a_disk_that_is_full_ends_nothing_and_loses_nothing(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    try:
        result = await run_round(
            "full", disks.fill_disk, tmp_path / "round", SEED, times=1, disk=disks.small_disk
        )
    except disks.NotRunError as error:
        pytest.skip(str(error))
    assert not result.failed
    assert result.notes["unavailable"]
