"""The commands that run the service, ``up`` and ``serve``: parsed by the standard library.

What a process imports it holds for its life, and every start waits for it: what the other
verbs parse and show with takes 10 MB and 0.1 s. So a service needs no extra ``cli`` either.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Final

from actors.cli.verbs import VERBS as OTHERS
from actors.settings.config import ConfigError, load
from actors.settings.output import Patient

VERBS: Final = {
    "up": "Run the service with a nats-server of its own.",
    "serve": "Run the service against a NATS server.",
}
MISUSED: Final = 2
_PORT_MAX: Final = 65_535


def start(verb: str, arguments: Sequence[str]) -> int:
    """Run the service as ``up`` or ``serve`` with these arguments; its exit code.

    Raises:
        SystemExit: help was asked for, or an argument is wrong.
    """
    options = vars(_parser(verb).parse_args(arguments))
    parent = os.getppid() if options.pop("with_parent") else None
    given = {name: value for name, value in options.items() if value is not None}
    # Here: help, and a wrong argument, need not wait for the service's modules.
    from actors.process import run  # noqa: PLC0415 -- as above

    try:
        return run(replace(load(), **given), embedded=verb == "up", parent=parent)
    except ConfigError as error:
        print(f"meterd: {error}", file=Patient(sys.stderr))
        return MISUSED


def say_without_extra(arguments: Sequence[str]) -> int:
    """What `meterd` says if the extra ``cli`` is not installed; its exit code.

    The version and the help are there all the same.
    """
    needed = "the extra 'cli': pip install 'meterd[cli]'"
    first = arguments[0] if arguments else "--help"
    if first == "--version":
        print(f"meterd {metadata.version('meterd')}")
    elif first in {"-h", "--help"}:
        print("usage: meterd COMMAND", "", *_listed(needed), sep="\n")
    elif first in OTHERS:
        print(f"meterd: {first} needs {needed}", file=sys.stderr)
        return MISUSED
    else:
        print(f"meterd: there is no command {first!r} (meterd --help lists them)", file=sys.stderr)
        return MISUSED
    return 0


def _listed(needed: str) -> Iterator[str]:
    """The lines of the help: what is there, and what the extra brings."""
    for verb, text in VERBS.items():
        yield f"  {verb:<7}{text}"
    yield from ("", f"These need {needed}")
    groups: dict[str, list[str]] = {}
    for verb, place in OTHERS.items():
        groups.setdefault(place.group, []).append(verb)
    for group, verbs in groups.items():
        yield f"  {group}: {', '.join(verbs)}"


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"meterd {verb}", description=VERBS[verb], allow_abbrev=False
    )
    if verb == "up":
        parser.add_argument(
            "--port",
            dest="nats_port",
            type=_port,
            help="of the nats-server on loopback, 0: a free one; else METERD_NATS_PORT",
        )
    else:
        parser.add_argument("--url", dest="nats_url", help="where NATS is; else METERD_NATS_URL")
    parser.add_argument(
        "--data-dir", type=Path, help="holds the database; else METERD_DATA_DIR", metavar="PATH"
    )
    parser.add_argument(
        "--with-parent",
        action="store_true",
        help="stop when the process that started this one has ended",
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _PORT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to {_PORT_MAX}")
    return int(text)
