"""All commands of ``meterd``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from actors.cli import accounts, admission, commands, importing, prices, service, verify

_HELP = """Meters API and LLM usage per user, prices it, and says whether the next call may be made.

Exit codes: 0 done; 1 the service refuses or does not answer; 2 wrong usage or settings;
3 an import refused rows; 4 enforce does not allow the call.
"""

app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",  # which joins the lines of a paragraph
    pretty_exceptions_enable=False,  # a defect shows as Python's own traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(service.up)
app.command()(service.serve)
app.command()(commands.track)
app.command()(commands.enforce)
app.command()(admission.batch)
app.command()(admission.preflight)
app.command()(admission.hold)
app.command()(admission.extend)
app.command()(admission.release)
app.command()(admission.holds)
app.command()(commands.reset)
app.command()(commands.stats)
app.command()(commands.logs)
app.command()(accounts.trends)
app.command()(accounts.alerts)
app.command()(accounts.ack)
app.command()(accounts.subscribe)
app.command()(accounts.cancel)
app.command()(accounts.suspend)
app.command()(accounts.resume)
app.command()(accounts.subscription)
app.command()(accounts.dashboard)
app.command("import")(importing.import_file)
app.add_typer(prices.app, name="prices")
app.command()(verify.verify)
app.command()(verify.rebuild)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"meterd {version('meterd')}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass
