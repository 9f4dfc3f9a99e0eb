"""All commands of ``meterd``, each imported when it is the one that is called.

``up`` and ``serve`` do not come this way (see `service`): here they are for the help.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer

from actors.cli import service
from actors.cli.session import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, complain
from actors.cli.verbs import SERVICE, VERBS

_HELP = """Meters API and LLM usage per user, prices it, and says whether the next call may be made.

Exit codes: 0 done; 1 the service refuses or does not answer; 2 wrong usage or settings;
3 an import refused rows; 4 enforce does not allow the call.
"""


# What typer exports of it is this one subclass, whether it has click or a copy of it inside.
_Misused: Final[Any] = typer.BadParameter.__base__
_AS_GIVEN: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """The command line for these arguments: the verb that they name, or else every verb."""
    app = typer.Typer(
        help=_HELP,
        invoke_without_command=True,
        rich_markup_mode="markdown",  # which joins the lines of a paragraph
        pretty_exceptions_enable=False,  # a defect shows as Python's own traceback
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    named = arguments[0] if arguments else ""
    if named not in VERBS:
        for verb, text in service.VERBS.items():
            app.command(
                verb,
                help=text,
                context_settings=_AS_GIVEN,
                add_help_option=False,
                rich_help_panel=SERVICE,
            )(_serve)
    for verb in [named] if named in VERBS else VERBS:
        place = VERBS[verb]
        found: Any = getattr(import_module(f"actors.cli.{place.module}"), place.name)
        shown: Any = {"rich_help_panel": place.group, "epilog": f"Example: {place.example}"}
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=verb, **shown)
        else:
            app.command(verb, **shown)(found)
    return app


def run(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run a command line with its arguments; the exit code.

    Every error that a person can cause is one line on stderr.
    """
    try:
        code = app(arguments, prog_name="meterd", standalone_mode=False)
    except _Misused as error:
        context = error.ctx
        help_of = f" ({context.command_path} --help says more)" if context else ""
        complain(f"{error.format_message().rstrip('.')}{help_of}")
        return EXIT_USAGE
    except typer.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # Ctrl-C, as typer says it
            return EXIT_INTERRUPTED
        complain("not done")
        return EXIT_FAILED
    return code if isinstance(code, int) else 0


def _serve(context: typer.Context) -> None:
    verb = context.info_name
    assert verb is not None
    raise typer.Exit(service.start(verb, context.args))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"meterd {version('meterd')}")
        raise typer.Exit


def _root(
    context: typer.Context,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:  # as without the extra: help, and no fault
        typer.echo(context.get_help())
