"""The lines of the log: JSON for programs, readable for people, safe for both."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from actors.settings.logging import configure_logging
from actors.settings.readable import shown

ESC = "\x1b"
SECRETS = {"plain-secret", "Hid\"den's", "two\nlines", "back\\slash"}


class Stream(io.StringIO):
    """What is written to it can be read; it may be a terminal, and may fail."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal
        self.fails: Exception | None = None

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        if self.fails is not None:
            raise self.fails
        return super().write(text)

    @property
    def lines(self) -> list[str]:
        return self.getvalue().splitlines()


Open = Callable[..., Stream]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Sets up the log of a process whose stderr is such a stream."""
    before = structlog.get_config()

    def configure(*, terminal: bool, level: str = "debug", **environment: str) -> Stream:
        stream = Stream(terminal=terminal)
        for name in ("NO_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        configure_logging(level, SECRETS)
        return stream

    yield configure
    structlog.configure(**before)


def log() -> Any:
    return structlog.get_logger("of-a-test")


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("alice", "alice"),
        ("ünïcode-日本", "ünïcode-日本"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "no"', r'"say \"no\""'),
        ("line\nend\r", r'"line\nend\r"'),
        (f"{ESC}[2J", r'"\u001b[2J"'),
        ("\x7f\x85\x9b31m", r'"\x7f\x85\x9b31m"'),  # DEL, NEL and the C1 form of ESC [
        ("ab\u202eevil\u2066", r'"ab\u202eevil\u2066"'),  # turns the direction of text
        ("a\u2028b\u2029c", r'"a\u2028b\u2029c"'),
        ("zero\u200bwidth\U000e0041", r'"zero\u200bwidth\U000e0041"'),
        ("half \ud800", r'"half \ud800"'),
        (r"\x1b", r'"\\x1b"'),  # not to be taken for one that was escaped
        (7, "7"),
        (None, "None"),
        ([f"{ESC}["], r"['\x1b[']"),
    ],
)
def test_a_value_is_shown_on_one_line_without_anything_that_a_terminal_obeys(
    value: object, line: str
) -> None:
    assert shown(value) == line


def test_lines_are_json_if_the_stream_is_no_terminal(opened: Open) -> None:
    stream = opened(terminal=False)
    log().info("started", user=f"{ESC}[31m\n\u202e\x85", seq=7)
    (line,) = stream.lines
    assert line.isascii()
    found = json.loads(line)
    assert (found["event"], found["level"], found["seq"]) == ("started", "info", 7)
    assert found["user"] == f"{ESC}[31m\n\u202e\x85"


def test_lines_are_readable_if_it_is_one(opened: Open) -> None:
    stream = opened(terminal=True)
    log().info("started", user=f"{ESC}[31m\n\u202e", seq=7, why="two words")
    (line,) = stream.lines
    assert re.fullmatch(
        r'\S+Z \[info +\] started +user="\\u001b\[31m\\n\\u202e" seq=7 why="two words"', line
    )


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),  # empty is as unset: no-color.org
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_colours_are_for_terminals_that_take_them_and_people_who_want_them(
    opened: Open, environment: dict[str, str], coloured: bool
) -> None:
    stream = opened(terminal=True, **environment)
    log().warning("w", name="value")
    assert (ESC in stream.getvalue()) == coloured
    assert "value" in stream.getvalue()


def test_no_colours_are_in_a_file_whatever_the_terminal_takes(opened: Open) -> None:
    stream = opened(terminal=False, TERM="xterm")
    log().warning("w", name="value")
    assert ESC not in stream.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_no_form_of_a_secret_is_in_a_line(opened: Open, terminal: bool) -> None:
    stream = opened(terminal=terminal)
    for secret in SECRETS:
        log().error("failed", url=f"nats://u:{secret}@h", quoted=f"a {secret}", of=[secret])
        try:
            fail(ValueError(repr(secret)))
        except ValueError:
            log().exception("failed")
        logging.getLogger("nats").error("at %s", secret)
    said = stream.getvalue()
    assert said.count("***") >= 5 * len(SECRETS)
    for part in ("plain-secret", "den", "slash", "lines"):
        assert part not in said.replace("test_log_lines", "")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_traceback_has_no_line_that_looks_like_one_of_the_log(
    opened: Open, terminal: bool
) -> None:
    stream = opened(terminal=terminal)
    forged = f"no\n2026-01-01T00:00:00Z [info   ] stopped\n{ESC}[2J"
    try:
        fail(ValueError(forged))
    except ValueError:
        log().exception("failed")
    assert ESC not in stream.getvalue()
    if terminal:
        first, *others = stream.lines
        assert "failed" in first
        assert all(line.startswith("    ") for line in others)
        assert any("ValueError: no" in line for line in others)
    else:
        (line,) = stream.lines
        assert forged in json.loads(line)["exception"]


def test_a_message_of_a_library_is_a_line_like_ours(opened: Open) -> None:
    stream = opened(terminal=False)
    logging.getLogger("nats").info("not of interest")
    logging.getLogger("nats").warning("lost %s", "it")
    try:
        fail(OSError("gone"))
    except OSError:
        logging.getLogger("asyncio").exception("two\nlines")
    warned, failed = map(json.loads, stream.lines)
    assert (warned["event"], warned["level"]) == ("library", "warning")
    assert (warned["logger"], warned["message"]) == ("nats", "lost it")
    assert failed["level"] == "error"
    assert "OSError: gone" in failed["exception"]


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "gone"), OSError(28, "full"), ValueError("closed")]
)
def test_a_line_that_cannot_be_written_ends_nothing_and_later_ones_may_be(
    opened: Open, error: Exception
) -> None:
    stream = opened(terminal=False)
    stream.fails = error
    log().error("lost")
    stream.fails = None
    log().error("told")
    assert [json.loads(line)["event"] for line in stream.lines] == ["told"]


def test_a_process_without_stderr_writes_no_line_anywhere(
    opened: Open, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(terminal=False)
    monkeypatch.setattr("sys.stderr", None)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    configure_logging("debug")
    log().error("lost")
    logging.getLogger("nats").error("lost")
    assert capsys.readouterr().out == ""


def test_a_level_leaves_out_what_is_below_it(opened: Open) -> None:
    stream = opened(terminal=False, level="WARNING")
    log().info("no")
    log().debug("no")
    log().warning("yes")
    assert [json.loads(line)["event"] for line in stream.lines] == ["yes"]
