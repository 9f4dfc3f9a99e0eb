"""A million requests that are nearly right against the live service: `make fuzz`.

Each gets exactly one answer, a reply or an error of the table; no answer and no line of the
log says anything of a defect; what is right in between is answered right; memory does not
grow with what was asked; and the log is whole at the end. The same seed sends the same.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from messages.errors import ERRORS
from messages.subjects import PREFIX, request_subject
from tests.support.meterd import METERD
from tests.support.raw import RawClient
from tests.support.service import ROOT, Service
from tests.tools.bench.stage import memory_mb
from tests.tools.fuzz.requests import Message, message
from tests.tools.fuzz.wire import FuzzWire

AT_ONCE: Final = 500
EVERY: Final = 100_000
GROWTH_MB: Final = 60.0
LEAKS: Final = re.compile(
    rb"Traceback|File \\?\"|\.py(?:\\?\"|:\d)|site-packages|sqlite|msgspec|INSERT INTO|SELECT |"
    rb"\w(?:Error|Exception)\b(?!-Code)| object at 0x|" + re.escape(str(ROOT).encode())
)
"""What no error may tell a caller."""
DEFECTS: Final = re.compile(r"Traceback|_failed\b|\"level\": ?\"(?:error|critical)\"|inline_disp")


class Fuzz:
    """Sends, counts and judges.

    Attributes:
        codes: how many answers of each kind there were.
        faults: what was not as it has to be; empty if all is well.
    """

    def __init__(self, service: Service, seed: int) -> None:
        self._rng = random.Random(seed)
        self._service = service
        self._wire = FuzzWire(service.url, self._take)
        self._healthy = RawClient(service.url, name="healthy")
        self._answers: dict[int, int] = {}
        self._sent: dict[int, Message] = {}
        self._due = 0
        self._calls = 0
        self.number = 0
        self.codes: dict[str, int] = {}
        self.faults: list[str] = []

    def run(self, count: int) -> None:
        """Send so many, some hundred at a time, and a healthy call behind each lot."""
        while count > 0 and len(self.faults) < 20:
            lot = min(count, AT_ONCE)
            count -= lot
            self._answers.clear()
            self._sent.clear()
            for _ in range(lot):
                self.number += 1
                self._sent[self.number] = message(self._rng, self.number)
            self._due = sum(sent.answers[0] for sent in self._sent.values())
            self._wire.send(b"".join(sent.data for sent in self._sent.values()))
            self._wire.wait(lambda: self._due <= 0)
            self._check_healthy()  # also gives a second answer the time to come
            self._wire.flush()
            self._count()

    def close(self) -> None:
        self._wire.close()
        self._healthy.close()

    def _take(self, number: int, head: bytes, body: bytes) -> None:
        sent = self._sent.get(number)
        if sent is None:
            self.faults.append(f"an answer too late to request {number}: {body[:300]!r}")
            return
        self._answers[number] = self._answers.get(number, 0) + 1
        self._due -= sent.answers[0] == 1 and self._answers[number] == 1
        if head.startswith(b"NATS/1.0 503"):
            self._tally("no responders")
            return
        problem = self._judge(head, body)
        if problem:
            self.faults.append(f"{problem}: {body[:500]!r} to {sent.data[:1000]!r}")

    def _judge(self, head: bytes, body: bytes) -> str | None:
        try:
            found: Any = json.loads(body)
        except ValueError:
            return "no JSON"
        if "error" not in found:
            self._tally("reply")
            return "a reply with the headers of an error" if head else None
        error = found["error"]
        code = error["code"]
        self._tally(code)
        if code not in ERRORS or code == "internal":
            return f"the code {code}"
        if f"Nats-Service-Error-Code: {ERRORS[code].number}\r\n".encode() not in head:
            return "not the headers of its code"
        leak = LEAKS.search(head + error["message"].encode())
        return None if leak is None else f"says {leak[0]!r}"

    def _tally(self, what: str) -> None:
        self.codes[what] = self.codes.get(what, 0) + 1

    def _count(self) -> None:
        for number, sent in self._sent.items():
            low, high = sent.answers
            got = self._answers.get(number, 0)
            if not low <= got <= high:
                self.faults.append(f"{got} answers to {sent.data[:1000]!r}")

    def _check_healthy(self) -> None:
        """A user of its own is counted call by call, whatever the others send."""
        self._calls += 1
        key = {"event_id": f"healthy-{self._calls}"}
        track, stats = (request_subject(PREFIX, verb, "healthy") for verb in ("track", "stats"))
        first = self._healthy.request(track, {"provider": "exa", **key}).json()
        again = self._healthy.request(track, {"provider": "exa", **key}).json()
        total = self._healthy.request(stats).json()
        if (first.get("usage_logged"), total.get("total_calls")) != (True, self._calls):
            self.faults.append(f"a healthy call was answered {first}, {total}")
        elif again != first | {"duplicate": True}:
            self.faults.append(f"a healthy call was answered {first}, then {again}")
        self._healthy.replies.clear()


def verified(data: Path) -> str | None:
    """What `meterd verify` has to say against the log, None if it finds nothing."""
    command = [*METERD, "verify", "--json"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"METERD_DATA_DIR": str(data), "METERD_NATS_URL": "nats://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return None if done.returncode == 0 else done.stdout[-2000:] + done.stderr[-2000:]


def fuzz(data: Path, seed: int, count: int) -> tuple[Fuzz, list[float]]:
    """Send so many to a service on a data directory; its memory in MB after each part too."""
    memory: list[float] = []
    with Service(data, env={"METERD_LOG_LEVEL": "info"}) as service:
        found = Fuzz(service, seed)
        while found.number < count and not found.faults:
            found.run(min(EVERY, count - found.number))
            memory.append(memory_mb(service.pid))
            print(f"{found.number:>9,} requests, {memory[-1]:.0f} MB", flush=True)
        found.close()
        code = service.terminate()
    if code:
        found.faults.append(f"the service ended with code {code}")
    if defect := DEFECTS.search(service.stderr):
        start = max(defect.start() - 200, 0)
        found.faults.append(f"the log: {service.stderr[start : start + 2000]}")
    if problem := verified(data):
        found.faults.append(f"verify: {problem}")
    if memory and memory[-1] > memory[0] + GROWTH_MB:
        found.faults.append(f"memory grew from {memory[0]:.0f} to {memory[-1]:.0f} MB")
    return found, memory


def main() -> None:
    """Fuzz, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=None, help="else another one each time")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        found, _ = fuzz(Path(directory) / "data", seed, options.requests)
    for kind, count in sorted(found.codes.items(), key=lambda pair: -pair[1]):
        print(f"{count:>9,} {kind}")
    print(f"{found.number:,} requests in {time.perf_counter() - start:.0f} s, seed {seed}")
    for fault in found.faults:
        print(f"FAULT {fault}")
    sys.exit(bool(found.faults))


if __name__ == "__main__":
    main()
