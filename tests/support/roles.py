"""What each role of docs/nats.conf may do, written down once more: tests compare the server."""

from __future__ import annotations

from typing import Any, Final

from messages.catalog import CATALOG_COMMANDS
from messages.subjects import PREFIX

ROLES: Final = ("service", "app", "reader", "alice", "dashboard", "admin")
INBOXES: Final = {
    role: "_INBOX_meterd" if role == "service" else f"_INBOX_{role}" for role in ROLES
}
NOBODY: Final[frozenset[str]] = frozenset()
SERVICE: Final = frozenset({"service"})

_HOLDS: Final = {"hold", "extend", "release", "holds"}
_READS: Final = {"stats", "trends", "logs", "alerts", "subscription"}
_PLANS: Final = {"subscribe", "cancel", "suspend", "resume", "reset", "ack"}
VERBS: Final[dict[str, set[str]]] = {
    "service": set(),
    "app": {"track", "batch", "enforce", "preflight"} | _HOLDS,
    "reader": _READS,
    "alice": _READS,  # of alice
    "dashboard": {"dashboard", "alerts"},
    "admin": _PLANS | _READS | {"dashboard"},
}
_LISTS: Final = {name for name in CATALOG_COMMANDS if name.endswith(".list")}
CATALOG: Final[dict[str, set[str]]] = {
    "app": {"catalog.estimate.cost"},
    "reader": _LISTS | {"catalog.estimate.cost"},
    "admin": set(CATALOG_COMMANDS),
}
UPKEEP: Final = (
    *(f"$SRV.{verb}{tail}" for verb in ("PING", "INFO", "STATS") for tail in ("", ".meterd")),
    *(f"{PREFIX}.ctl.{what}" for what in ("rebuild.alice", "forget.alice", "snapshot.live")),
    f"{PREFIX}.ctl.archive.2020-01-01",
)
"""What only the admin may ask."""

BODIES: Final[dict[str, Any]] = {
    **{verb: {"provider": "exa"} for verb in ("track", "enforce", "hold")},
    "batch": {"events": [{"provider": "exa"}]},
    "preflight": {"operations": [{"provider": "exa"}]},
    "extend": {"hold_id": "none"},
    "release": {"hold_id": "none"},
    "ack": {"all": True},
    "subscribe": {"plan": "Pro", "billing_cycle": "monthly"},
    "catalog.plans.put": {
        "name": "Roles",
        "tier": "roles",
        "limits": {},
        "features": [],
        "price_monthly": 1,
        "price_yearly": 10,
    },
    "catalog.prices.put": {"provider": "exa", "model": "roles", "cost_per_request": 1},
    "catalog.estimate.cost": {"provider": "openai"},
}

STREAM: Final = "METERD_ALERTS"
PUBLISHERS: Final[dict[str, frozenset[str]]] = {
    **{f"$JS.API.STREAM.{verb}.{STREAM}": SERVICE for verb in ("INFO", "CREATE", "UPDATE")},
    f"{PREFIX}.alert.bob.openai_calls.80": SERVICE,
    f"{PREFIX}.event.reset.bob": SERVICE,
    f"{PREFIX}.ctl.claim.meterd": SERVICE,
    **{f"{inbox}.x": SERVICE for inbox in INBOXES.values()},
    **dict.fromkeys(
        [
            *("_INBOX.x", "_INBOX_other.x", "anything", f"{PREFIX}.x", f"{PREFIX}.catalog"),
            *(f"{PREFIX}.unheard.alice", f"{PREFIX}.p.1.unheard.alice", f"{PREFIX}.ctl.x.alice"),
            *("usage.v2.track.alice", "$JS.API.INFO", "$JS.API.STREAM.NAMES"),
            *(f"$JS.API.STREAM.{verb}.{STREAM}" for verb in ("DELETE", "PURGE", "MSG.GET")),
            *("$JS.API.STREAM.CREATE.OTHER", f"$JS.API.STREAM.MSG.DELETE.{STREAM}"),
            *(f"$JS.API.CONSUMER.CREATE.{STREAM}", f"$JS.API.CONSUMER.CREATE.{STREAM}.c"),
            *(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.c", f"$JS.ACK.{STREAM}.c.1.1.1.1.1"),
            *("$JS.API.ACCOUNT.PURGE.METER", f"$JS.API.DIRECT.GET.{STREAM}"),
            *("$SYS.REQ.USER.INFO", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.METER.CONNZ"),
            *("$SYS.ACCOUNT.METER.CONNECT", "$G.x", "_R_.x", "$SRV.PING.other", "$SRV.X.meterd"),
        ],
        NOBODY,
    ),
}
"""Who may publish on what is no request of a role."""

_BOARDS: Final = frozenset({"service", "dashboard", "admin"})
SUBSCRIBERS: Final[dict[str, frozenset[str]]] = {
    **{f"{PREFIX}.{what}": SERVICE for what in (">", "track.*", "p.*.track.*", "ctl.>")},
    **{f"{PREFIX}.{what}": _BOARDS for what in ("alert.>", "event.>")},
    **{f"{PREFIX}.{what}": _BOARDS for what in ("alert.alice.>", "event.*.alice")},
    **dict.fromkeys((f"{PREFIX}.catalog.>", "$SRV.PING", "$SRV.>"), SERVICE),
    **{
        f"{inbox}.{tail}": frozenset({role})
        for role, inbox in INBOXES.items()
        for tail in (">", "a.b", "*")
    },
    **dict.fromkeys(
        [
            *("_INBOX.>", "_INBOX.*", "_INBOX_app", ">", "*", "*.>", "usage.>", "usage.*.>"),
            *("usage.v2.>", "$JS.>", "$JS.API.>", "$JS.EVENT.>", "$SYS.>", "$SYS.ACCOUNT.>"),
            *("_R_.>", "$G.>"),
        ],
        NOBODY,
    ),
}
"""Who may listen on what."""
