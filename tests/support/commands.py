"""Commands of meterd as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any, Final

import typer.main

from actors.cli.main import command_line
from tests.support.meterd import METERD
from tests.support.service import ROOT

WAIT_S: Final = 60.0
"""Far longer than anything takes on a busy machine; only a test that fails waits so long."""


def patient(*args: str) -> tuple[str, ...]:
    """The arguments of a command, which gives up only after `WAIT_S` if they say nothing else."""
    found: Any = typer.main.get_command(command_line(args))
    for word in args:
        found = getattr(found, "commands", {}).get(word, found)
    takes = any(param.name == "timeout" for param in found.params)
    return (*args, "--timeout", f"{WAIT_S}") if takes and "--timeout" not in args else args


def run(*args: str, url: str = "nats://127.0.0.1:1", text: bool = False) -> tuple[int, Any]:
    """A command: its exit code, and what it said, decoded if it is JSON and not ``text``."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
    done = subprocess.run(
        [*METERD, *patient(*args)],
        cwd=ROOT,
        env={**environ, "METERD_NATS_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * WAIT_S,
    )
    if not done.stdout:
        return done.returncode, done.stderr
    return done.returncode, done.stdout if text else json.loads(done.stdout)
