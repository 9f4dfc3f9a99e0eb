"""A reply of the service beside that of the model."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.model.wire import decoded
from tests.support.rig import Answer


def differences(verb: str, answer: Answer, expected: Any) -> dict[str, Any]:
    """What the service and the model say, if that is not the same.

    ``expected`` is the model's reply, or its error as a tuple of "error", code and field.
    """
    found, wanted = _comparable(verb, decoded(verb, answer)), _comparable(verb, expected)
    if verb == "stats" and isinstance(expected, dict):  # shown with 4 decimals
        shares = {name: float(part) for name, part in expected["percentages"].items()}
        wanted["percentages"] = pytest.approx(shares, abs=1e-4)
    if found == wanted:
        return {}
    if not isinstance(found, dict) or not isinstance(wanted, dict):
        return {"reply": (found, wanted)}
    return {
        name: (found.get(name), wanted.get(name))
        for name in {*found, *wanted}
        if found.get(name) != wanted.get(name)
    }


def _comparable(verb: str, reply: Any) -> Any:
    """A reply without what its kind leaves open."""
    if isinstance(reply, tuple):
        return reply
    found = dict(reply)
    if verb == "alerts":
        whole = found["total"] <= len(found["alerts"])
        found["alerts"] = sorted(found["alerts"], key=str) if whole else len(found["alerts"])
    if verb == "batch":
        found = {"results": [dict(result) for result in found["results"]]}
    if verb == "reset":
        found = {name: found[name] for name in ("reset", "billing_period")}
    found.pop("used_up", None)
    return found
