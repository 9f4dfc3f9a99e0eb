"""Structured logs on stderr: one JSON object per line."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from actors.settings.output import Patient
from messages.redacting import without


def configure_logging(level: str, secrets: Iterable[str] = ()) -> None:
    """Set up logging for the process.

    Args:
        level: debug, info, warning or error.
        secrets: texts that no line may have, whoever writes it.
    """
    errors: Any = Patient(sys.stderr)
    written = [json.dumps(secret)[1:-1] for secret in secrets]  # as they are in a line of JSON
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            _hiding(written),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(errors),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard library; only what went wrong is of interest.
    handler = logging.StreamHandler(errors)
    handler.setFormatter(_HidingFormatter(secrets))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _hiding(secrets: Iterable[str]) -> Callable[[Any, str, Any], str]:
    def hide(_logger: Any, _method: str, line: Any) -> str:
        return without(secrets, str(line))

    return hide


class _HidingFormatter(logging.Formatter):
    """Formats a record, traceback included, without secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(name)s: %(message)s")
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        return without(self._secrets, super().format(record))
