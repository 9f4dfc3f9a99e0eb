"""How long the parts of a service wait: for production, and for tests to shorten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from actors.edge.ownership import CLAIM_S, RECLAIM_S
from actors.maintenance.closing import LOOK_S
from actors.publishing.outbox import MARK_S
from actors.publishing.outbox import RETRY_S as PUBLISH_RETRY_S
from persistence.writer import RETRY_S as LOG_RETRY_S

SWEEP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Waits:
    """How long the parts of a service wait, in seconds.

    Attributes:
        claim: for another meterd on the same prefix to answer.
        log_retry: until the end of the log is asked for again, if it cannot be read.
        publish_retry: until a publication that failed is tried again.
        mark: without a notice, until the published position is stored.
        look: between two looks for periods that are over.
        reclaim: until the holder of the prefix makes sure again that it is the only one.
        sweep: at most, between two looks for users who have been idle.
    """

    claim: float = CLAIM_S
    log_retry: float = LOG_RETRY_S
    publish_retry: float = PUBLISH_RETRY_S
    mark: float = MARK_S
    look: float = LOOK_S
    reclaim: float = RECLAIM_S
    sweep: float = SWEEP_S


DEFAULT_WAITS: Final = Waits()
