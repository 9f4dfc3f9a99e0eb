"""A process with some connections: an open loop at a rate, then a closed one; one line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import select
import sys
import time
from collections import Counter
from typing import Any, Final

from tests.tools.overload.caller import BLOCK, Caller

TICK_S: Final = 0.002
BUCKET_S: Final = 0.25
DRAIN_S: Final = 30.0
NICER: Final = 4
"""Callers have machines of their own: here they take what the service leaves."""


class Load:
    """Some connections and what is asked of them."""

    def __init__(self, callers: list[Caller]) -> None:
        self._callers = callers
        self._by_number = {caller.socket.fileno(): caller for caller in callers}
        self._poll = select.poll()
        for number in self._by_number:
            self._poll.register(number, select.POLLIN)
        self.missed = 0

    def open_loop(self, seconds: float, rate: float) -> None:
        """Offer so many requests a second, whatever is answered.

        A block that finds the connection of its turn not through with the last one is not
        offered: the server takes no more.
        """
        start = time.perf_counter()
        turn = due = 0
        while (now := time.perf_counter()) < start + seconds:
            wanted = int((now - start) * rate / BLOCK)
            while due < wanted:
                due += 1
                turn = (turn + 1) % len(self._callers)
                if not self._callers[turn].offer(time.perf_counter()):
                    self.missed += BLOCK
                    due = max(due, wanted - len(self._callers))
            self._take(TICK_S)

    def closed_loop(self, seconds: float, window: int) -> list[int]:
        """Have up to so many in flight on each connection; answered ones by bucket of time."""
        start = time.perf_counter()
        counts: list[int] = []
        before = self._accepted()
        while (now := time.perf_counter()) < start + seconds:
            for caller in self._callers:
                if caller.waiting + BLOCK <= window:
                    caller.offer(now)
            self._take(TICK_S)
            bucket = int((now - start) / BUCKET_S)
            while len(counts) <= bucket:
                counts.append(0)
            after = self._accepted()
            counts[bucket] += after - before
            before = after
        return counts[: int(seconds / BUCKET_S)]

    def drain(self) -> float:
        """Wait until all is answered; how long that took."""
        start = time.perf_counter()
        while any(c.waiting > 0 or c.held is not None for c in self._callers if not c.ended):
            self._take(TICK_S)
            if time.perf_counter() - start > DRAIN_S:
                break
        return time.perf_counter() - start

    def _accepted(self) -> int:
        return sum(sum(c.answered.values()) - sum(c.refused.values()) for c in self._callers)

    def _take(self, seconds: float) -> None:
        for number, _ in self._poll.poll(seconds * 1e3):
            caller = self._by_number[number]
            caller.take()
            if caller.ended:
                self._poll.unregister(number)
        for caller in self._callers:
            if caller.held is not None:
                caller.push()


def report(callers: list[Caller]) -> dict[str, Any]:
    """What was sent and what came of it."""
    answered, refused = Counter[str](), Counter[str]()
    for caller in callers:
        answered.update(caller.answered)
        refused.update(caller.refused)
    return {
        "sent": sum(caller.sent for caller in callers),
        "answered": dict(answered),
        "refused": dict(refused),
        "unanswered": sum(caller.waiting for caller in callers),
        "ended": sum(caller.ended for caller in callers),
        "timed": [tuple(timed) for caller in callers for timed in caller.timed],
    }


def main() -> None:
    """Connect, say so, wait for a line, then load and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--name", default="c")
    parser.add_argument("--connections", type=int, default=25)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--hot", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0: none")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--after", type=float, default=0.0, help="seconds of a closed loop behind")
    parser.add_argument("--window", type=int, default=64, help="in flight on a connection, then")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.nice(NICER)
    callers = [
        Caller(options.url, f"{options.name}{n}", options.users, options.hot, options.seed + n)
        for n in range(options.connections)
    ]
    print("ready", flush=True)
    sys.stdin.readline()
    load = Load(callers)
    start = time.perf_counter()
    if options.rate:
        load.open_loop(options.seconds, options.rate)
    end = time.perf_counter()
    found: dict[str, Any] = {"offered": sum(caller.sent for caller in callers)}
    if options.after:
        found["after"] = load.closed_loop(options.after, options.window)
    found["drained_s"] = load.drain()
    found |= {"start": start, "end": end, "missed": load.missed} | report(callers)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
