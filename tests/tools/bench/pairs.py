"""Holds and the calls that settle them: each slot of the window goes back and forth."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from messages.subjects import PREFIX
from tests.tools.bench.calls import MODELS, PLACE, keys, publish
from tests.tools.bench.wire import LoadError, Wire

WINDOW = 256
VARIANTS = 256
PLAN = {
    "name": "Bench",
    "tier": "enterprise",
    "price_monthly": 1,
    "price_yearly": 10,
    "limits": {
        **{f"{provider}_calls": 1_000_000_000 for provider, _ in MODELS},
        **{f"{provider}_tokens": 1_000_000_000_000 for provider, _ in MODELS},
        "monthly_cost": 1_000_000,
    },
    "features": [],
}
"""Limits that are looked at each time and never reached: a refused hold is no hold."""


def prepare(wire: Wire, users: int) -> None:
    """Put the users on a plan that lets them go on."""
    wire.run(iter([publish(f"{PREFIX}.catalog.plans.put", json.dumps(PLAN).encode())]), 60, 1)
    body = json.dumps({"plan": "Bench", "billing_cycle": "monthly"}).encode()
    wire.run(iter([publish(f"{PREFIX}.subscribe.h{n}", body) for n in range(users)]), 60, 64)


@dataclass(frozen=True)
class _Variant:
    """A pair of one user, cut where the keys go."""

    hold: list[bytes]
    track: list[bytes]


def _variants(users: int, rng: random.Random) -> list[_Variant]:
    made = []
    for number in range(max(users, VARIANTS)):
        user = f"h{number % users}"
        provider, model = rng.choice(MODELS)
        of = {"event_id": PLACE, "provider": provider, "model_used": model}
        hold = of | {"tokens_requested": rng.randint(50, 2500), "ttl": 60}
        track = of | {"hold_id": PLACE, "tokens_input": rng.randint(20, 2000), "tokens_output": 200}
        made.append(
            _Variant(
                *(
                    publish(f"{PREFIX}.{verb}.{user}", json.dumps(body).encode(), "?").split(
                        PLACE.encode()
                    )
                    for verb, body in (("hold", hold), ("track", track))
                )
            )
        )
    rng.shuffle(made)
    return made


class Pairs:
    """The pairs of some users, with a window of them in flight."""

    def __init__(self, wire: Wire, users: int, rng: random.Random) -> None:
        self._wire = wire
        self._variants = _variants(users, rng)
        self._keys: Iterator[bytes] = keys()
        self._next = 0
        self._open: dict[int, tuple[_Variant, bytes, bool]] = {}
        self.done = 0

    def run(self, seconds: float) -> float:
        """Go on for so long; return the pairs a second.

        Raises:
            LoadError: a hold was refused, or a call did not settle its hold.
        """
        before, start = self.done, time.perf_counter()
        self._wire.socket.sendall(b"".join([self._hold(slot) for slot in range(WINDOW)]))
        while (spent := time.perf_counter() - start) < seconds:
            self._turn(more=True)
        rate = (self.done - before) / spent
        while self._open:
            self._turn(more=False)
        return rate

    def _turn(self, *, more: bool) -> None:
        """Take what came, and send what follows from it."""
        replies: list[tuple[bytes, bytes]] = []
        self._wire.receive(replies)
        out = []
        for line, body in replies:
            slot = int(line[line.index(b".load.") + 6 : line.index(b" ", 5)])
            variant, key, settling = self._open.pop(slot)
            if settling:
                if b'"hold_status":"settled"' not in body or b'"duplicate":false' not in body:
                    raise LoadError(f"no hold is settled by it: {body.decode()}")
                self.done += 1
                if more:
                    out.append(self._hold(slot))
            else:
                if not body.startswith(b'{"allowed":true') or key not in body:
                    raise LoadError(f"nothing is held by it: {body.decode()}")
                self._open[slot] = (variant, key, True)
                head, middle, tail = variant.track
                request = b"".join((head, next(self._keys), middle, key, tail))
                out.append(request.replace(b" ? ", b" _INBOX.load.%d " % slot, 1))
        self._wire.socket.sendall(b"".join(out))

    def _hold(self, slot: int) -> bytes:
        variant = self._variants[self._next % len(self._variants)]
        self._next += 1
        key = next(self._keys)
        self._open[slot] = (variant, key, False)
        head, tail = variant.hold
        return b"".join((head, key, tail)).replace(b" ? ", b" _INBOX.load.%d " % slot, 1)
