"""What each role of docs/nats.conf may do, written down once more: tests compare the server."""

from __future__ import annotations

from typing import Any, Final

from messages.subjects import PREFIX
from messages.verbs import BY_NAME, CATALOG_VERBS
from messages.verbs import VERBS as ALL_VERBS

ROLES: Final = ("service", "app", "reader", "alice", "dashboard", "admin")
INBOXES: Final = {
    role: "_INBOX_meterd" if role == "service" else f"_INBOX_{role}" for role in ROLES
}
NOBODY: Final[frozenset[str]] = frozenset()
SERVICE: Final = frozenset({"service"})

VERBS: Final[dict[str, set[str]]] = {
    role: {verb.name for verb in ALL_VERBS if ("reader" if role == "alice" else role) in verb.roles}
    for role in ROLES
}
CATALOG: Final[dict[str, set[str]]] = {
    role: {verb.name for verb in CATALOG_VERBS if role in verb.roles}
    for role in ("app", "reader", "admin")
}
UPKEEP: Final = (
    *(f"$SRV.{verb}{tail}" for verb in ("PING", "INFO", "STATS") for tail in ("", ".meterd")),
    *(f"{PREFIX}.ctl.{what}" for what in ("rebuild.alice", "forget.alice", "snapshot.live")),
    f"{PREFIX}.ctl.archive.2020-01-01",
)
"""What only the admin may ask."""

BODIES: Final[dict[str, Any]] = {verb.name: dict(verb.least) for verb in BY_NAME.values()}

STREAM: Final = "METERD_ALERTS"
STREAMS: Final = (STREAM, "METERD_EVENTS")
PUBLISHERS: Final[dict[str, frozenset[str]]] = {
    **{
        f"$JS.API.STREAM.{verb}.{stream}": SERVICE
        for verb in ("INFO", "CREATE", "UPDATE")
        for stream in STREAMS
    },
    "$JS.API.STREAM.NAMES": SERVICE,
    f"{PREFIX}.alert.bob.openai_calls.80": SERVICE,
    f"{PREFIX}.event.reset.bob": SERVICE,
    f"{PREFIX}.ctl.claim.meterd": SERVICE,
    "usage.ctl.claim.meterd": SERVICE,  # the prefix above
    **{f"{inbox}.x": SERVICE for inbox in INBOXES.values()},
    **dict.fromkeys(
        [
            *("_INBOX.x", "_INBOX_other.x", "anything", f"{PREFIX}.x", f"{PREFIX}.catalog"),
            *(f"{PREFIX}.unheard.alice", f"{PREFIX}.p.1.unheard.alice", f"{PREFIX}.ctl.x.alice"),
            *("usage.v2.track.alice", "$JS.API.INFO", "$JS.API.STREAM.LIST"),
            *(f"$JS.API.STREAM.{verb}.{STREAM}" for verb in ("DELETE", "PURGE", "MSG.GET")),
            *(f"$JS.API.STREAM.{verb}.METERD_EVENTS" for verb in ("DELETE", "PURGE", "MSG.GET")),
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
