"""Which form of meterd is tested: the sources of the checkout, or a wheel that is installed.

Tests import the sources. The tiers that start meterd as a process get a wheel from `make`, a
compiled one if there is a C compiler; METERD_TEST_WHEEL says where it is installed. Without that
they start the sources of the checkout.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = os.environ.get("METERD_TEST_WHEEL", "")
METERD: Final = (f"{ENVIRONMENT}/bin/meterd",) if ENVIRONMENT else (sys.executable, "-m", "actors")
"""The command, to which arguments are added."""
IS_COMPILED: Final = any(Path(ENVIRONMENT or "/", "wheels").glob("meterd-*-cp*.whl"))
"""Whether the processes that tests start have a compiled hot path."""


def form() -> str:
    """Which form is under test, in one line."""
    here = "compiled modules" if compiled_here() else "the sources"
    wheel = f"an installed {'compiled' if IS_COMPILED else 'pure'} wheel"
    return f"meterd: {here} in this process, {wheel if ENVIRONMENT else 'the sources'} in others"


def compiled_here() -> bool:
    """Whether the modules that this process imports are compiled."""
    spec = find_spec("actors.user.actor")
    assert spec is not None
    return not str(spec.origin).endswith(".py")
