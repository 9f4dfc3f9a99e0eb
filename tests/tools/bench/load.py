"""The load generator: one bare socket with a window of requests in flight, every reply checked.

It runs in a process of its own, so that it takes no time from what it measures, and prints
one line of JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from typing import Any

from tests.tools.bench import calls
from tests.tools.bench.pairs import Pairs, prepare
from tests.tools.bench.timing import one_in_flight, paced, percentiles
from tests.tools.bench.wire import ANY, Good, Wire

WINDOW = 256
BATCH_WINDOW = 16
FILL_WINDOW = 64
FILL_S = 300.0
TRACKED = Good(b'{"usage_logged":true', b'"duplicate":false')
GOOD = {
    "echo": Good(b'{"provider":"gemini"', b"}"),
    "enforce": Good(b'{"allowed":', b'"limits":[{'),
    "visit": Good(b'{"allowed":', b'"limits":[{'),
    "batch": Good(b'{"results":', b'"accepted":%d,' % calls.BATCH),
    "fill": Good(b'{"results":', b'"rejected":0'),
    "pairs": ANY,  # looked at there
    "subscribe": ANY,
}
ENDLESS = {
    "echo": calls.echoes,
    "enforce": calls.enforces,
    "batch": calls.batches,
}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run one load; what it found."""
    rng = random.Random(options.seed)
    kind = options.kind
    paced_echo = kind == "echo" and options.rate > 0
    wire = Wire(options.url, ANY if paced_echo else GOOD.get(kind, TRACKED))
    found: dict[str, Any] = {}
    if kind == "pairs":
        pairs = Pairs(wire, options.users, rng)
        pairs.run(options.warm)
        found["rate"] = pairs.run(options.seconds)
        found["done"] = pairs.done
    elif kind == "subscribe":
        prepare(wire, options.users)
    elif kind == "seed":  # a little usage for the users of enforce
        requests = calls.tracks(options.users, rng, "e")
        found["rate"] = wire.run(itertools.islice(requests, 3 * calls.VARIANTS), FILL_S, WINDOW)
    elif kind == "fill":
        requests = calls.fills(options.users, rng, options.each)
        found["rate"] = wire.run(requests, FILL_S, FILL_WINDOW)
    elif kind == "visit":
        numbers = rng.sample(range(options.users), options.each)
        spent = one_in_flight(wire, calls.visits(numbers, options.initial), FILL_S)
        found["cold"], found["live"] = percentiles(spent[0::2]), percentiles(spent[1::2])
    else:
        if paced_echo:
            requests = calls.keyed_echoes(options.users, rng)
        elif kind in ENDLESS:
            requests = ENDLESS[kind](options.users, rng)
        else:
            make = calls.spread_tracks if kind == "spread" else calls.tracks
            requests = make(options.users, rng, options.initial, options.stride)
        window = BATCH_WINDOW if kind == "batch" else WINDOW
        wire.run(requests, options.warm, window)
        if options.single:
            found |= percentiles(one_in_flight(wire, requests, options.seconds))
        elif options.rate:
            found |= percentiles(paced(wire, requests, options.seconds, options.rate))
        else:
            found["rate"] = wire.run(requests, options.seconds, window)
    return {"kind": kind, "replies": wire.replies, "seed": options.seed} | found


def main() -> None:
    """Parse, measure, print."""
    kinds = ["echo", "track", "spread", "enforce", "batch", "pairs", "fill", "visit"]
    kinds += ["seed", "subscribe"]  # before enforce, and before pairs
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm", type=float, default=0.3, help="seconds not counted before")
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--initial", default="t", help="what the users' names begin with")
    parser.add_argument("--stride", type=int, default=1, help="between the users' numbers")
    parser.add_argument("--each", type=int, default=20, help="calls of each user, or users")
    parser.add_argument("--single", action="store_true", help="one in flight; time each request")
    parser.add_argument("--rate", type=float, default=0.0, help="open loop: so many a second")
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
