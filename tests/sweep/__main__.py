"""One of the processes that share a sweep: a line of JSON for each damage."""

from __future__ import annotations

import os
import sys

import msgspec

from tests.sweep.sweeping import Share, outcomes_of

for outcome in outcomes_of(msgspec.json.decode(sys.argv[1], type=Share)):
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
sys.stdout.buffer.flush()
os._exit(0)  # a thread that hangs would keep it
