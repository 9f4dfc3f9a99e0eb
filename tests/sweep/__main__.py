"""One of the processes that share a sweep: a line of JSON for each damage."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from tests.sweep.sweeping import share

work, job, jobs, each, quick = sys.argv[1:]
for outcome in share(Path(work), int(job), int(jobs), int(each), quick=bool(int(quick))):
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
sys.stdout.buffer.flush()
os._exit(0)  # a thread that hangs would keep it
