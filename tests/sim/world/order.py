"""The order of effects is that of arrival, for each user of each process."""

from __future__ import annotations

from collections import defaultdict

from tests.sim.world.history import Arrival
from tests.sim.world.invariants import Invariant, judging


def check_order(arrivals: list[Arrival]) -> None:
    """A change is behind all that arrived before it, and a read shows all of that."""
    newest: defaultdict[tuple[int, str], int] = defaultdict(int)
    for arrival in arrivals:
        place = id(arrival.answers), arrival.sent.user
        effects, shown = _places(arrival)
        with judging(Invariant.IN_ORDER):
            for seq in effects:
                assert seq > newest[place], (arrival.sent, seq, "is before what came before")
                newest[place] = seq
            if shown is not None:
                assert shown >= newest[place], (arrival.sent, shown, "lacks what came before")
                newest[place] = shown


def _places(arrival: Arrival) -> tuple[list[int], int | None]:
    """The positions of what a request changed, and that of what it was shown."""
    answer, sent = arrival.answer, arrival.sent
    if answer is None or answer.code:
        return [], None
    body = answer.body
    if sent.verb == "catalog.users.list":
        return [], None
    if sent.verb == "batch":
        done = [result for result in body["results"] if "error" not in result]
        return [result["seq"] for result in done if not result["duplicate"]], None
    if sent.key is None or body.get("allowed") is False or body.get("reset") is False:
        return [], body.get("seq")
    return ([] if body["duplicate"] else [body["seq"]]), None
