"""kill -9 in the middle of real traffic, again and again: nothing is lost, nothing is doubled."""

from __future__ import annotations

import csv
import json
import random
import sqlite3
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pytest

from messages.subjects import PREFIX, request_subject
from tests.support.meterd import METERD
from tests.support.nats import NatsServer
from tests.support.raw import RawClient
from tests.support.service import ROOT, Service

SEED: Final = 20_260_308
KILLS: Final = 20
ROWS: Final = 1_500
USERS: Final = 6
WAIT_S: Final = 60.0
TRACE: Final = ROOT / "tests" / "traces" / "usage_conv.csv"
PRICES: Final = ROOT / "actors" / "billing" / "catalog" / "data" / "prices.json"
MISTRAL_MODEL: Final = "openai/gpt-oss-120b:groq"  # for rows that name no model

Totals = dict[str, list[Fraction]]
Record = dict[str, Any]


def part_of_the_trace(path: Path) -> list[dict[str, str]]:
    """The first rows of the trace, of few users so that limits are crossed."""
    with TRACE.open(newline="") as source:
        rows = [row for row, _ in zip(csv.DictReader(source), range(ROWS), strict=False)]
    for number, row in enumerate(rows):
        row["user"] = f"u{number % USERS}"
    with path.open("w", newline="") as target:
        writer = csv.DictWriter(target, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def expected_totals(rows: list[dict[str, str]]) -> Totals:
    """Calls, tokens and cost by provider, from the file and the price list alone."""
    prices = {(row["provider"], row["model"]): row for row in json.loads(PRICES.read_text())}
    totals: Totals = defaultdict(lambda: [Fraction(0)] * 3)
    for row in rows:
        price = prices[row["provider"], row["model"] or MISTRAL_MODEL]
        tokens = [int(row["prompt_tokens"]), int(row["completion_tokens"])]
        cost = Fraction(price.get("cost_per_request", "0")) + sum(
            count * Fraction(price[f"cost_per_{kind}_token"])
            for count, kind in zip(tokens, ("input", "output"), strict=True)
        )
        charge = Fraction(round(cost * 10**9), 10**9)  # to even at a half
        before = totals[row["provider"]]
        totals[row["provider"]] = [before[0] + 1, before[1] + sum(tokens), before[2] + charge]
    return dict(totals)


class Observer:
    """Sees every reply and every alert that leaves the service."""

    def __init__(self, url: str) -> None:
        self._client = RawClient(url, name="observer")
        self._client.subscribe("_INBOX.>")
        self._client.subscribe(f"{PREFIX}.alert.>")
        self.acknowledged: dict[str, Record] = {}
        self.alerts: dict[str, set[tuple[str, bytes]]] = defaultdict(set)

    def close(self) -> None:
        self._client.close()

    def take(self) -> None:
        """Look at what arrived."""
        while self._client.messages:
            message = self._client.messages.popleft()
            if message.subject.startswith(PREFIX):
                self.alerts[message.headers["Nats-Msg-Id"]].add((message.subject, message.body))
            elif b'"usage_logged"' in message.body:
                self._acknowledge(message.json())

    def wait_for(self, count: int) -> None:
        """Return as soon as so many events are acknowledged."""

        def reached() -> bool:
            self.take()
            return len(self.acknowledged) >= count

        self._client.wait_until(reached, WAIT_S)

    def flush(self) -> None:
        self._client.flush()
        self.take()

    def _acknowledge(self, reply: Record) -> None:
        first = self.acknowledged.setdefault(reply["event_id"], reply | {"duplicate": False})
        assert reply | {"duplicate": False} == first, "an acknowledgement changed"


@contextmanager
def importing(file: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """The command line's import, beside us."""
    command = [
        *(*METERD, "import", str(file), "--url", url),
        *("--timestamps", "now", "--map", "event_id=request_id", "--map", "model_used=model"),
        *("--map", "tokens_input=prompt_tokens", "--map", "tokens_output=completion_tokens"),
        *("--patience", str(WAIT_S), "--json"),
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def crash_again_and_again(service: Service, observer: Observer, file: Path, url: str) -> None:
    rng = random.Random(SEED)
    kills = 0
    while kills < KILLS:
        with importing(file, url):
            # Now and then the same import lives through several crashes.
            for _ in range(rng.choice([1, 1, 1, 2])):
                observer.wait_for(len(observer.acknowledged) + rng.randint(1, 70))
                service.kill()
                kills += 1
                service.start()


@pytest.fixture
def observer(nats_server: NatsServer) -> Iterator[Observer]:
    observer = Observer(nats_server.url)
    yield observer
    observer.close()


def test_after_crashes_in_the_middle_of_an_import_the_totals_are_exact(
    serve: Service, nats_server: NatsServer, observer: Observer, tmp_path: Path
) -> None:
    print(f"seed {SEED}")
    file = tmp_path / "part.csv"
    rows = part_of_the_trace(file)
    crash_again_and_again(serve, observer, file, nats_server.url)
    with importing(file, nats_server.url) as process:
        output, _ = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, output

    with RawClient(nats_server.url) as client:
        found: Totals = defaultdict(lambda: [Fraction(0)] * 3)
        for number in range(USERS):
            stats = client.request(request_subject(PREFIX, "stats", f"u{number}"))
            breakdown = json.loads(stats.body, parse_float=Fraction)["provider_breakdown"]
            for name, usage in breakdown.items():
                before = found[name]
                added = (usage["calls"], usage["tokens"], usage["cost"])
                found[name] = [a + Fraction(b) for a, b in zip(before, added, strict=True)]
    assert {name: sums for name, sums in found.items() if sums[0]} == expected_totals(rows)
    assert serve.terminate() == 0
    observer.flush()
    check_log(serve.data_dir, observer, {row["request_id"] for row in rows})


def check_log(data_dir: Path, observer: Observer, keys: set[str]) -> None:
    with closing(sqlite3.connect(data_dir / "meterd.db")) as db:
        logged = db.execute("SELECT seq, event_id, body FROM log WHERE kind = 'usage'").fetchall()
    # Every acknowledged event is there, where it was said to be, and each event once.
    seqs = {key: seq for seq, key, _ in logged}
    assert len(seqs) == len(logged)
    assert set(seqs) == set(observer.acknowledged) == keys
    assert {key: reply["seq"] for key, reply in observer.acknowledged.items()} == seqs
    # Every alert of the log was published, always with one content, and each threshold once.
    stored = [alert["id"] for _, _, body in logged for alert in json.loads(body).get("alerts", ())]
    assert len(stored) == len(set(stored))
    assert set(observer.alerts) == set(stored)
    assert all(len(contents) == 1 for contents in observer.alerts.values())
    subjects = [subject for contents in observer.alerts.values() for subject, _ in contents]
    assert len(subjects) == len(set(subjects))
    assert len(subjects) >= 3 * USERS
    announced = [alert for reply in observer.acknowledged.values() for alert in reply["alerts"]]
    assert sorted(announced) == sorted(stored)
