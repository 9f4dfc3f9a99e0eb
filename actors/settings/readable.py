"""Lines of the log for people: time, level, event, and the fields as ``name=value``.

What a line says may come from a caller. So whatever a terminal would not show as it is (control
characters and escape sequences, marks that turn the direction of text, line ends) is shown as its
code, and a value of which a reader could not tell where it ends stands in quotation marks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final

from structlog.dev import (
    Column,
    ConsoleRenderer,
    KeyValueColumnFormatter,
    LogLevelColumnFormatter,
    plain_traceback,
)

EVENT_WIDTH: Final = 24
"""Columns for the name of an event, so that the fields of most lines begin below each other."""
_INDENT: Final = "    "
_BOLD, _DIM, _CYAN, _RESET = "\033[1m", "\033[2m", "\033[36m", "\033[0m"
_AMBIGUOUS: Final = frozenset(" =\"'\\")


def escaped(text: str) -> str:
    """A text in which each character that cannot be printed is its code, as in Python."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def quoted(text: str) -> str:
    """A text in quotation marks, as in JSON, of which nothing moves a cursor."""
    return escaped(json.dumps(text, ensure_ascii=False))


def shown(value: object) -> str:
    """A value as a line has it: on one line, and with a clear end."""
    if not isinstance(value, str):
        return escaped(str(value))
    if value and _AMBIGUOUS.isdisjoint(value) and value.isprintable():
        return value
    return quoted(value)


def renderer(*, colours: bool) -> Iterator[Callable[..., Any]]:
    """The processors of structlog that make lines for people."""
    yield _indent_traceback
    bold, dim, cyan, reset = (_BOLD, _DIM, _CYAN, _RESET) if colours else ("", "", "", "")
    levels = {
        name: bold + style if colours else ""
        for name, style in ConsoleRenderer.get_default_level_styles(colours).items()
        if name in {"debug", "info", "warning", "error"}
    }

    def plain(style: str, width: int = 0) -> KeyValueColumnFormatter:
        return KeyValueColumnFormatter(None, style, reset, value_repr=shown, width=width)

    yield ConsoleRenderer(
        columns=[
            Column("timestamp", plain(dim)),
            Column("level", LogLevelColumnFormatter(levels, reset)),
            Column("event", plain(bold, EVENT_WIDTH)),
            Column("", KeyValueColumnFormatter(cyan, "", reset, value_repr=shown)),
        ],
        exception_formatter=plain_traceback,
        sort_keys=False,
    )


def _indent_traceback(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Have no line of a traceback look like a line of the log: its message may have several."""
    text = event.get("exception")
    if text is not None:
        lines = str(text).split("\n")
        event["exception"] = "\n".join(f"{_INDENT}{escaped(line)}" for line in lines)
    return event
