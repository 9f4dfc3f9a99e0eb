"""Replies on stdout: readable on a terminal, one JSON object everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import typer
from rich.console import Console, RenderableType

from messages.codec import encode_reply

_T = TypeVar("_T")


def is_human(as_json: bool) -> bool:
    """Whether stdout is read by a person."""
    return not as_json and sys.stdout.isatty()


def show(reply: _T, view: Callable[[_T], RenderableType], *, as_json: bool) -> None:
    """Print a reply, exact and whole as JSON or as ``view`` renders it."""
    if is_human(as_json):
        Console().print(view(reply))
    else:
        typer.echo(encode_reply(reply).decode())
