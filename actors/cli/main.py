"""All commands of ``meterd``, each imported when it is the one that is called.

``up`` and ``serve`` do not come this way (see `service`): here they are for the help.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final, NamedTuple

import typer

from actors.cli import service

_HELP = """Meters API and LLM usage per user, prices it, and says whether the next call may be made.

Exit codes: 0 done; 1 the service refuses or does not answer; 2 wrong usage or settings;
3 an import refused rows; 4 enforce does not allow the call.
"""


_AS_GIVEN: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


class _Place(NamedTuple):
    """Where a verb is: the module beside this one, and the function there, or its own `Typer`."""

    module: str
    name: str


# In the order of the help.
_VERBS: Final = {
    "track": _Place("commands", "track"),
    "enforce": _Place("commands", "enforce"),
    "batch": _Place("admission", "batch"),
    "preflight": _Place("admission", "preflight"),
    "hold": _Place("admission", "hold"),
    "extend": _Place("admission", "extend"),
    "release": _Place("admission", "release"),
    "holds": _Place("admission", "holds"),
    "reset": _Place("commands", "reset"),
    "stats": _Place("commands", "stats"),
    "logs": _Place("commands", "logs"),
    "trends": _Place("accounts", "trends"),
    "alerts": _Place("accounts", "alerts"),
    "ack": _Place("accounts", "ack"),
    "subscribe": _Place("accounts", "subscribe"),
    "cancel": _Place("accounts", "cancel"),
    "suspend": _Place("accounts", "suspend"),
    "resume": _Place("accounts", "resume"),
    "subscription": _Place("accounts", "subscription"),
    "dashboard": _Place("accounts", "dashboard"),
    "import": _Place("importing", "import_file"),
    "prices": _Place("prices", "app"),
    "verify": _Place("verify", "verify"),
    "backup": _Place("care", "backup"),
    "restore": _Place("care", "restore"),
    "snapshot": _Place("care", "snapshot"),
    "archive": _Place("care", "archive"),
    "checkpoint": _Place("evidence", "checkpoint"),
    "rebuild": _Place("verify", "rebuild"),
    "forget": _Place("evidence", "forget"),
}


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """The command line for these arguments: the verb that they name, or else every verb."""
    app = typer.Typer(
        help=_HELP,
        no_args_is_help=True,
        rich_markup_mode="markdown",  # which joins the lines of a paragraph
        pretty_exceptions_enable=False,  # a defect shows as Python's own traceback
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    named = arguments[0] if arguments else ""
    if named not in _VERBS:
        for verb, text in service.VERBS.items():
            app.command(verb, help=text, context_settings=_AS_GIVEN, add_help_option=False)(_serve)
    for verb in [named] if named in _VERBS else _VERBS:
        place = _VERBS[verb]
        found: Any = getattr(import_module(f"actors.cli.{place.module}"), place.name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=verb)
        else:
            app.command(verb)(found)
    return app


def _serve(context: typer.Context) -> None:
    verb = context.info_name
    assert verb is not None
    raise typer.Exit(service.start(verb, context.args))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"meterd {version('meterd')}")
        raise typer.Exit


def _root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass
