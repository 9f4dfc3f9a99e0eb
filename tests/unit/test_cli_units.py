"""Units on the command line: of calls, and of the catalogue."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.cli import shelves, views
from messages.catalog import UnitEntry, UnitPutReply, UnitsReply
from tests.support.answers import REFUSED, STATS, TRACKED
from tests.support.command_line import Serve, run
from tests.unit.test_cli_catalogue import at_80

GPU = UnitEntry(
    id="gpu_seconds",
    name="Seconds of a GPU",
    scale=3,
    max_per_call=10_500,
    builtin=False,
    archived=False,
)
COST = UnitEntry(id="cost", name="cost", scale=9, max_per_call=None, builtin=True, archived=False)


def answer(subject: str, _: dict[str, Any]) -> object:
    if subject.endswith("units.list"):
        return UnitsReply(units=(COST, GPU), version=2, seq=1)
    if ".catalog." in subject:
        return UnitPutReply(unit=GPU, version=2, event_id="k", seq=1)
    return TRACKED if ".track." in subject else REFUSED


def test_units_are_listed_put_and_archived(serve: Serve) -> None:
    service = serve(answer)
    assert [unit["id"] for unit in json.loads(run("units").stdout)["units"]] == [
        "cost",
        "gpu_seconds",
    ]
    arguments = ("--scale", "3", "--max-per-call", "10500", "--name", "Seconds of a GPU")
    put = json.loads(run("units", "put", "gpu_seconds", *arguments).stdout)
    assert put["unit"]["max_per_call"] == 10_500
    assert run("units", "archive", "gpu_seconds", "--event-id", "a").exit_code == 0
    asked = [(subject.partition("catalog.")[2], body) for subject, body in service.asked]
    assert [verb for verb, _ in asked] == ["units.list", "units.put", "units.archive"]
    wanted = {"id": "gpu_seconds", "scale": 3, "max_per_call": 10_500, "name": "Seconds of a GPU"}
    assert wanted.items() <= asked[1][1].items()
    assert {"id": "gpu_seconds", "event_id": "a"}.items() <= asked[2][1].items()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("track", "alice", "--unit"), "units"),
        (("enforce", "alice", "--units-requested"), "units_requested"),
        (("hold", "alice", "--units-requested"), "units_requested"),
    ],
)
def test_amounts_of_units_are_sent_exactly(
    serve: Serve, arguments: tuple[str, ...], field: str
) -> None:
    service = serve(answer)
    *verb, option = arguments
    run(*verb, "--provider", "exa", option, "seconds=0.1", option, "runs=12345678901234567")
    ((_, body),) = service.asked
    assert body[field] == {"seconds": 0.1, "runs": 12345678901234567}
    refused = run(*verb, "--provider", "exa", option, "seconds")
    assert refused.exit_code == 2
    refused = run(*verb, "--provider", "exa", option, "seconds=many")
    assert refused.exit_code == 2
    assert len(service.asked) == 1


def test_an_extension_sends_new_amounts(serve: Serve) -> None:
    service = serve(answer)
    run("extend", "alice", "h", "--units-requested", "seconds=2")
    ((_, body),) = service.asked
    assert body["units_requested"] == {"seconds": 2}


def test_people_see_units_and_estimates_of_a_period() -> None:
    shown = at_80(views.summary(STATS))
    assert "1.5 seconds" in shown
    assert "priced by the estimate: 1 call, 0.000002 USD" in shown
    listed = at_80(shelves.units(UnitsReply(units=(COST, GPU), version=1, seq=1)))
    assert "10.5" in listed
    assert "built in" in listed
