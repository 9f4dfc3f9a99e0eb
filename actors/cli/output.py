"""Replies on stdout: readable on a terminal, one JSON object everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

import typer
from rich.console import Console, RenderableType
from rich.progress import Progress

from actors.cli.session import EXIT_USAGE, complain
from messages.codec import encode_reply

_T = TypeVar("_T")
Advance: TypeAlias = Callable[[int], None]
"""Told how much is done."""


def is_human(as_json: bool) -> bool:
    """Whether stdout is read by a person."""
    return not as_json and sys.stdout.isatty()


def make_sure(question: str, *, yes: bool, as_json: bool) -> None:
    """Have a person say yes to what cannot be taken back; ``yes`` says it beforehand.

    Raises:
        Exit: nobody can be asked, since this is no terminal or JSON is wanted.
        Abort: the answer is no.
    """
    if yes:
        return
    if not (is_human(as_json) and sys.stdin.isatty()):
        complain(f"{question} Nobody can be asked here: give --yes to do it")
        raise typer.Exit(EXIT_USAGE)
    typer.confirm(question, abort=True)


def show(reply: _T, view: Callable[[_T], RenderableType], *, as_json: bool) -> None:
    """Print a reply, exact and whole as JSON or as ``view`` renders it."""
    if is_human(as_json):
        Console().print(view(reply))
    else:
        typer.echo(encode_reply(reply).decode())


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Advance]:
    """A progress bar on a terminal's stderr, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)
