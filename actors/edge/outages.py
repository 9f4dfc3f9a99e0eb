"""What the log says of a connection that is away: when it goes, each minute, when it is back."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Final

import nats.errors
import structlog

from messages.redacting import without
from messages.refusals import clip

EVERY_S: Final = 60.0
"""How often NATS is said to be still away, and how long refusals of subjects are counted."""
REASONS_MAX: Final = 8
"""How many distinct refusals of the server are told at once in one outage."""

_log = structlog.get_logger(__name__)


class CredentialsUnreadable(Exception):
    """A file with a certificate, a key or a secret cannot be used as it is now."""


class Outages:
    """Follows a connection through its losses, and tells of each in few lines.

    A refusal of the server (credentials that expired or were revoked) is told at once, since a
    person can put it right; that nobody listens there is told by the minute.

    Args:
        secrets: texts that no line may have.
        server: where the connection leads, for who reads that it is not there.
        now: seconds, of a clock that never runs backwards.

    Attributes:
        is_away: whether there is no connection now, although there was one or was to be one.
        losses: how often it was lost.
        reason: why it was lost or cannot be made, as last heard; empty if never.
        optional: subjects in quotation marks, of which a refusal is passed over.
        untaken: the newest subscription that the server does not let the service have.
    """

    def __init__(
        self,
        secrets: Iterable[str] = (),
        server: str = "",
        now: Callable[[], float] | None = None,
    ) -> None:
        self._secrets = frozenset(secrets)
        self._server = server
        self._now = now or asyncio.get_running_loop().time
        self._since = self._told_at = self._quiet_until = 0.0
        self._attempts = self._untold = 0
        self._told: set[str] = set()
        self.is_away = False
        self.losses = 0
        self.reason = ""
        self.optional: set[str] = set()
        self.untaken = ""

    def begin(self, error: Exception) -> None:
        """Note that the connection is lost."""
        if not self.is_away:
            self.losses += 1
            self._begin(error)
            _log.warning("nats_disconnected", reason=self.reason)

    async def on_missing(self, error: Exception) -> None:
        """Take what the first try to connect, and each one after it, fails with."""
        if self.is_away:
            self._failed(error)
        else:
            self._begin(error)
            _log.warning("nats_not_connected", server=self._server, reason=self.reason)

    def _begin(self, error: Exception) -> None:
        self.is_away = True
        self._since = self._told_at = self._now()
        self._attempts = 0
        self.reason = self._text(error)
        self._told = {self.reason}

    def end(self) -> None:
        """Note that there is a connection, again or at last."""
        if self.is_away:
            self.is_away, self.untaken = False, ""
            seconds = round(self._now() - self._since, 1)
            if self.losses:
                _log.info("nats_reconnected", away_s=seconds, attempts=self._attempts)
            else:
                _log.info("nats_connected", away_s=seconds, attempts=self._attempts)

    async def on_error(self, error: Exception) -> None:
        """Take what nats-py reports. Never raises: that would end its read loop."""
        if self.is_away:
            self._failed(error)
        elif not _is_loss(error):  # a loss is told when it is known to be one
            self._complained(error)

    def _failed(self, error: Exception) -> None:
        now, text = self._now(), self._text(error)
        self._attempts += 1
        self.reason = text
        if _is_refusal(error) and text not in self._told and len(self._told) <= REASONS_MAX:
            self._told.add(text)
            _log.warning("nats_refused", reason=text)
        elif now - self._told_at >= EVERY_S:
            self._told_at = now
            seconds = round(now - self._since)
            _log.warning("nats_away", seconds=seconds, attempts=self._attempts, reason=text)

    def _complained(self, error: Exception) -> None:
        # Each answer to a reply subject that the service may not use is a complaint of the
        # server's: a caller who names such subjects must not be able to fill the log.
        text = self._text(error)
        lower = text.lower()
        if "permissions violation" in lower:
            if any(subject in lower for subject in self.optional):
                return
            if "for subscription" in lower:
                self.untaken = text
            elif self._now() < self._quiet_until:
                self._untold += 1
                return
            else:
                self._quiet_until = self._now() + EVERY_S
        _log.warning("nats_error", error=text, untold=self._untold)
        self._untold = 0

    def _text(self, error: Exception) -> str:
        text = str(error).removeprefix("nats: ").strip("'") or type(error).__name__
        return clip(without(self._secrets, text))


def _is_loss(error: Exception) -> bool:
    return isinstance(error, OSError | nats.errors.UnexpectedEOF | nats.errors.StaleConnectionError)


def _is_refusal(error: Exception) -> bool:
    """Whether somebody answered, or would be asked, and does not accept what we are."""
    if isinstance(error, CredentialsUnreadable | ssl.SSLError):
        return True
    return isinstance(error, nats.errors.Error) and not _is_loss(error)
