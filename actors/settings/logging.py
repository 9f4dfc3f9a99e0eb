"""The log on stderr: JSON lines, or lines for people if stderr is a terminal.

What decides is the stream that is written to. Stdout has the ready line alone, and is often read
by a program while a person looks at stderr.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TextIO, cast

import structlog

from actors.settings.output import Patient
from actors.settings.readable import escaped, quoted, renderer
from messages.redacting import without


def configure_logging(level: str, secrets: Iterable[str] = ()) -> None:
    """Set up logging for the process.

    Args:
        level: debug, info, warning or error.
        secrets: texts that no line may have, whoever writes it.
    """
    stream: TextIO | None = sys.stderr  # None if it was closed before the start
    if stream is not None and stream.isatty():
        render = [*renderer(colours=_has_colours(os.environ))]
        hidden = _forms(secrets, escaped, lambda text: quoted(text)[1:-1])
    else:
        render = [structlog.processors.JSONRenderer()]
        hidden = _forms(secrets, lambda text: json.dumps(text)[1:-1])
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *render,
            _hiding(hidden),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", Patient(stream))),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard library; only what went wrong is of interest.
    logging.basicConfig(level=logging.WARNING, handlers=[_Libraries()])


def _has_colours(environment: Mapping[str, str]) -> bool:
    """Whether a terminal takes colours, and its user wants them (no-color.org)."""
    return not environment.get("NO_COLOR") and environment.get("TERM", "dumb") != "dumb"


def _forms(secrets: Iterable[str], *written: Callable[[str], str]) -> set[str]:
    """Every way in which a line may have one of these texts: as it is, quoted, escaped."""
    found = {text for secret in secrets for text in (secret, repr(secret)[1:-1])}
    return found | {write(text) for text in found for write in written}


def _hiding(secrets: Iterable[str]) -> Callable[[Any, str, Any], str]:
    def hide(_logger: Any, _method: str, line: Any) -> str:
        return without(secrets, str(line))

    return hide


class _Libraries(logging.Handler):
    """Writes what libraries log as lines like our own."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        log = structlog.get_logger(record.name)
        tell = log.error if record.levelno >= logging.ERROR else log.warning
        tell(
            "library",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info or None,
        )
