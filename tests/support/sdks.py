"""The packages of others whose replies are mapped and whose prices are compared: for tests only.

They are imported by name, so that type checkers do not read the tens of thousands of types that
they have.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any


@cache
def sdk(name: str) -> Any:
    """The module of that name, as ``openai.types.chat``.

    litellm uses the price list that came with it: else it asks the network for the newest one,
    and its answers would change from day to day. The prices of some hours, which no row has, are
    taken out of that, so that they do not change within a day either.
    """
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    with unwarned():
        found = import_module(name)
        if name.partition(".")[0] == "litellm":
            for entry in import_module("litellm").model_cost.values():
                entry.pop("off_peak_pricing", None)
        return found


@contextmanager
def unwarned() -> Iterator[None]:
    """Without the warnings that they give about themselves: of pydantic, say, about their types."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
