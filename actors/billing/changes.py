"""The changes that a caller may ask for, each with its record, by command.

A verb is added here, in `messages.verbs`, and beside its rule; `track` and what comes as a
CloudEvent share one record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from actors.billing.admission.holds import EXTEND, HOLD, RELEASE
from actors.billing.admission.preflight import PREFLIGHT
from actors.billing.change import Change
from actors.billing.periods.subscribe import CANCEL, RESUME, SUBSCRIBE, SUSPEND
from actors.billing.reports.alerts import ACK
from actors.billing.usage.reset import RESET

RECORDS: Final = (
    *(HOLD, EXTEND, RELEASE, PREFLIGHT, RESET),
    *(ACK, SUBSCRIBE, CANCEL, SUSPEND, RESUME),
)
CHANGES: Final[Mapping[type, Change]] = {record.command: record for record in RECORDS}
