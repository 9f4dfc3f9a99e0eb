"""What a service says in its log, awaited."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.service import Service

WAIT_S: Final = 60.0


def lines(service: Service, *events: str) -> list[dict[str, Any]]:
    """What the service logged so far of these events."""
    text = service.stderr
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] in events]


def await_line(
    service: Service, event: str | tuple[str, ...], text: str = "", count: int = 1
) -> dict[str, Any]:
    """The ``count``-th line of that event, or of one of those, with that text, once it is there."""
    events = (event,) if isinstance(event, str) else event
    deadline = time.monotonic() + WAIT_S
    while True:
        found = [line for line in lines(service, *events) if text in json.dumps(line)]
        if len(found) >= count:
            return found[count - 1]
        assert service.process.poll() is None, service.stderr
        assert time.monotonic() < deadline, service.stderr
        select.select([], [], [], 0.02)


@contextmanager
def waiting(tmp_path: Path, settings: Mapping[str, str]) -> Iterator[Service]:
    """`meterd serve` that waits for its NATS server; it ends in order, ready by then or not."""
    service = Service(tmp_path / "data", command="serve", env=settings)
    service.launch()
    try:
        yield service
        assert service.terminate() == 0
        assert "Traceback" not in service.stderr
    finally:
        service.kill()
