"""What the benchmark is built of: its log is a real one, and what is wrong is seen."""

from __future__ import annotations

import random
import socket
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from actors.audit.findings import Finding
from actors.audit.verify import Verifier
from messages.stored.form import FORM
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from tests.tools.bench import biglog, calls
from tests.tools.bench.figures import Figure, of_rounds, table
from tests.tools.bench.svg import Bar, bars
from tests.tools.bench.wire import Good, LoadError, Wire

EVENTS = 10_000


def figure(measured: float | None, *, at_most: bool = False, note: str = "") -> Figure:
    return Figure(
        key="k", name="it", measured=measured, goal=2, unit="ms", at_most=at_most, note=note
    )


async def test_the_big_log_is_one_that_verify_finds_nothing_in(tmp_path: Path) -> None:
    await biglog._make(tmp_path / "log", EVENTS)
    found: list[Finding] = []
    with Inspection.open(tmp_path / "log") as log:
        report = Verifier(log, found.append, lambda _: None).run()
    assert not found
    users = biglog.users_of(EVENTS)
    assert (report.rows, report.users) == (EVENTS, users)
    assert report.snapshots == users // biglog.REGULARS


async def test_the_big_log_is_indexed_to_its_end(tmp_path: Path) -> None:
    await biglog._make(tmp_path, EVENTS)
    journal = await SQLiteJournal.open(tmp_path, FORM)
    regular = await journal.history("u0", 0, 100)
    other = await journal.history(f"u{biglog.users_of(EVENTS) - 1}", 0, 100)
    found = await journal.find("u0", regular[-1].key or "")
    await journal.close()
    assert len(regular) == biglog.TURNS
    assert len(other) in {6, 7}
    assert found == regular[-1]


def test_a_call_of_the_fill_has_200_bytes() -> None:
    rng = random.Random(1)
    assert {len(calls._of_200_bytes(rng)) for _ in range(200)} == {200}


def test_every_request_has_a_key_of_its_own() -> None:
    requests = list(islice(calls.tracks(10, random.Random(1)), 5_000))
    assert len({request[request.index(b"event_id") :][:50] for request in requests}) == 5_000


@pytest.mark.parametrize(
    "reply",
    [
        b'MSG _INBOX.load.1 1 11\r\n{"error":1}\r\n',
        b'MSG _INBOX.load.1 1 31\r\n{"logged":true,"duplicate":true}\r\n',
        b"HMSG _INBOX.load.1 1 30 30\r\nNATS/1.0 503\r\n\r\n\r\n",
        b"-ERR 'Authorization Violation'\r\n",
        b"",
    ],
    ids=["error", "duplicate", "headers", "refused", "closed"],
)
def test_the_load_ends_with_a_reply_that_is_wrong(reply: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        wire = Wire(f"nats://127.0.0.1:{port}", Good(b'{"logged":true', b'"duplicate":false'))
        peer, _ = server.accept()
        peer.sendall(reply)
        peer.shutdown(socket.SHUT_WR)
        with pytest.raises(LoadError):
            wire.receive()
        peer.close()
        wire.socket.close()


def test_a_figure_is_judged_by_its_goal_from_the_right_side() -> None:
    assert figure(2).verdict == "reached"
    assert figure(1.9).verdict == "MISSED"
    assert figure(1.9, at_most=True).verdict == "reached"
    assert figure(2.1, at_most=True).verdict == "MISSED"
    assert figure(None, note="not installed").verdict == "not installed"


def test_a_figure_of_rounds_is_their_median() -> None:
    assert of_rounds("k", "it", [1, 5, 100], 4).verdict == "reached"


def test_the_table_has_a_line_for_each_figure() -> None:
    lines = table([figure(1), figure(None, note="not installed")]).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert "not installed" in lines[-1]


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_chart_is_well_formed_and_within_its_width(logarithmic: bool) -> None:
    rows = [Bar("a < b", 0.2, "0.2", goal=1.0), Bar("c", 900, "900"), Bar("d", 3, "3", goal=50)]
    chart = ET.fromstring(bars("Title & more", "sub", rows, logarithmic=logarithmic))
    drawn = [part for part in chart.iter() if part.tag.endswith("rect")]
    assert len(drawn) == 1 + len(rows)
    assert all(float(part.get("width", "")) <= float(chart.get("width", "")) for part in drawn)
