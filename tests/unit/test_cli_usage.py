"""How the command line asks, refuses and explains."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from actors.cli.output import make_sure
from actors.cli.verbs import VERBS
from tests.support.answers import RESET, STATS
from tests.support.command_line import Serve, run, started


def test_bare_meterd_shows_the_help_and_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert started() == 0
    assert "subscribe" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("forget", "alice"),
        ("reset", "alice"),
        ("rebuild", "alice"),
        ("suspend", "alice"),
        ("archive", "--before", "2026-01-01"),
        ("restore", "copy.db"),
        ("mend",),
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_irreversible_command_is_refused_if_nobody_can_be_asked(
    serve: Serve, arguments: tuple[str, ...], options: tuple[str, ...]
) -> None:
    service = serve(lambda *_: RESET)
    result = run(*arguments, *options)
    assert (result.exit_code, result.stdout, service.asked) == (2, "", [])
    assert "give --yes" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("answer", "asked"), [("y\n", 1), ("n\n", 0), ("", 0)])
def test_on_a_terminal_an_irreversible_command_asks_first(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, answer: str, asked: int
) -> None:
    service = serve(lambda *_: RESET)
    main_ends, shell_ends = pty.openpty()
    with os.fdopen(shell_ends, "r") as stdin, os.fdopen(main_ends, "w") as keyboard:
        keyboard.write(answer or "\x04")
        keyboard.flush()
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setitem(make_sure.__globals__, "is_human", lambda _: True)
        code = started("reset", "alice")
    assert (code, len(service.asked)) == (0 if asked else 1, asked)


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("stats", "alice", "--period", "november"), "write 2026-03"),
        (("logs", "alice", "--period", "2026-13"), "write 2026-03"),
        (("stats",), "USER"),
        (("track", "alice", "--provider", "openai", "--cost", "cheap"), "not a number"),
        (("refund", "alice"), "refund"),
    ],
)
def test_wrong_usage_is_one_sentence_that_says_what_is_allowed(
    serve: Serve,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    allowed: str,
) -> None:
    service = serve(lambda *_: STATS)
    assert started(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("meterd: ")
    assert allowed in error
    assert error.count("\n") == 1
    assert service.asked == []


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("prices", "--help")])
def test_a_full_disk_under_the_output_is_one_sentence(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "actors", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "meterd: the output cannot be written: No space left on device\n"


def test_every_verb_has_a_group_in_the_help_and_an_example_that_parses() -> None:
    listed = run("--help").stdout
    for verb, place in VERBS.items():
        assert place.group in listed
        program, named, *_ = shlex.split(place.example)
        assert (program, named) == ("meterd", verb)
        assert "Example:" in run(verb, "--help").stdout
