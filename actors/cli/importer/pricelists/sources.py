"""Where price lists are: a file, or an installed package."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actors.cli.importer.errors import BadInput
from actors.cli.importer.pricelists.litellm import BYTES_MAX


def text_of(file: Path) -> str:
    """The text of a list in a file.

    Raises:
        BadInput: it cannot be read, or is too large to be one.
    """
    try:
        with file.open("rb") as opened:
            raw = opened.read(BYTES_MAX + 1)
        if len(raw) > BYTES_MAX:
            raise BadInput(f"{file}: over {BYTES_MAX:,} bytes, which is no price list")
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: {error}") from None


def genai_providers() -> tuple[Any, str]:
    """The data of the installed package genai-prices, and its version.

    Raises:
        BadInput: it is not installed.
    """
    try:
        data = import_module("genai_prices.data")  # an extra; a checker takes 40 s for its types
    except ImportError:
        raise BadInput(
            "the package genai-prices is missing: pip install 'meterd[prices]'"
        ) from None
    return data.providers, version("genai-prices")
