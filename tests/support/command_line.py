"""The command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from actors.__main__ import main
from actors.cli.main import command_line
from tests.support.answers import Answer, FakeService

Serve = Callable[[Answer], FakeService]
"""Has every connection lead to a service that answers so."""


def run(*arguments: str) -> Result:
    """What a command comes to."""
    return CliRunner().invoke(command_line(arguments), arguments)


def started(*arguments: str) -> int:
    """The exit code of ``meterd`` as a shell calls it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["meterd", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
    assert isinstance(caught.value.code, int)
    return caught.value.code
