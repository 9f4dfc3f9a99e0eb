"""CloudEvents 1.0 as rows: the data are the cells, and the envelope goes along as it came."""

from __future__ import annotations

from typing import Final

MARK: Final = "specversion"
_OF_THE_ENVELOPE: Final = (MARK, "id", "source", "type")


def unwrap(cells: dict[str, object]) -> tuple[dict[str, object], dict[str, object] | None]:
    """The cells of a line and, if it is a CloudEvent, what its envelope says.

    ``subject`` is the user, ``id`` the key and ``time`` the timestamp, if the data name none.

    Raises:
        ValueError: it is an invalid CloudEvent.
    """
    if MARK not in cells:
        return cells, None
    if cells[MARK] != "1.0":
        raise ValueError("not a CloudEvent 1.0: specversion is another one")
    for name in _OF_THE_ENVELOPE:
        value = cells.get(name)
        if not isinstance(value, str) or not value:
            raise ValueError(f"not a CloudEvent 1.0: {name} is missing")
    data = cells.get("data")
    if not isinstance(data, dict):
        raise ValueError("not a CloudEvent 1.0: data is not an object")  # noqa: TRY004 -- the value is wrong
    named = {"user": cells.get("subject"), "event_id": cells["id"], "timestamp": cells.get("time")}
    found = {name: value for name, value in named.items() if value is not None}
    return found | data, {name: cells[name] for name in _OF_THE_ENVELOPE}
