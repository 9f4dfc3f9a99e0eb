"""The verbs for one user: their names, their commands, and which of them change something."""

from __future__ import annotations

from typing import Final

from .admission import Enforce, Extend, Hold, Holds, Preflight, Release
from .reports import Ack, Alerts, Dashboard, Logs, Stats, Trends
from .subscriptions import Cancel, Resume, Subscribe, Subscription, Suspend
from .usage import Batch, Reset, Track

Change = (
    Track | Batch | Hold | Extend | Release | Reset | Ack | Subscribe | Cancel | Suspend | Resume
)
Read = Enforce | Preflight | Holds | Stats | Trends | Logs | Alerts | Subscription | Dashboard
Command = Change | Read

COMMANDS: Final[dict[str, type[Command]]] = {
    "track": Track,
    "batch": Batch,
    "enforce": Enforce,
    "preflight": Preflight,
    "hold": Hold,
    "extend": Extend,
    "release": Release,
    "holds": Holds,
    "reset": Reset,
    "stats": Stats,
    "trends": Trends,
    "logs": Logs,
    "alerts": Alerts,
    "ack": Ack,
    "subscribe": Subscribe,
    "cancel": Cancel,
    "suspend": Suspend,
    "resume": Resume,
    "subscription": Subscription,
    "dashboard": Dashboard,
}
CHANGES: Final = frozenset(
    {
        *("track", "batch", "preflight", "hold", "extend", "release", "reset", "ack"),
        *("subscribe", "cancel", "suspend", "resume"),
    }
)
"""The verbs that take a key; a ``preflight`` changes something only where it holds."""
