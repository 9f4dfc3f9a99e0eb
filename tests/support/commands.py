"""Commands of meterd as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from tests.support.meterd import METERD
from tests.support.service import ROOT


def run(*args: str, url: str = "nats://127.0.0.1:1", text: bool = False) -> tuple[int, Any]:
    """A command: its exit code, and what it said, decoded where it is JSON and not ``text``."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
    done = subprocess.run(
        [*METERD, *args],
        cwd=ROOT,
        env={**environ, "METERD_NATS_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if not done.stdout:
        return done.returncode, done.stderr
    return done.returncode, done.stdout if text else json.loads(done.stdout)
