"""The verbs: one record for each, all that a caller sees of it.

Decoders, the client's decoders, the edge's routes, permissions and the tables of the tests come
from here. What the service does is in `actors.billing.changes` for a verb that takes a key, and
in `actors.user.queries` for one that reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from msgspec import Raw, Struct
from msgspec.structs import fields

from . import catalog, prices
from .admission import (
    Enforce,
    EnforceReply,
    Extend,
    Hold,
    HoldReply,
    Holds,
    HoldsReply,
    Preflight,
    PreflightReply,
    Release,
    ReleaseReply,
)
from .reports import (
    Ack,
    AckReply,
    Alerts,
    AlertsReply,
    Dashboard,
    DashboardReply,
    Logs,
    LogsReply,
    Stats,
    StatsReply,
    Trends,
    TrendsReply,
)
from .subscriptions import (
    Cancel,
    Resume,
    Subscribe,
    Subscription,
    SubscriptionChangeReply,
    SubscriptionReply,
    Suspend,
)
from .usage import Batch, BatchReply, Reset, ResetReply, Track, TrackReply

APP: Final = "app"
READER: Final = "reader"
DASHBOARD: Final = "dashboard"
ADMIN: Final = "admin"
_READ: Final = (READER, ADMIN)


class Command(Protocol):
    """What is asked for: a struct of one of the verbs."""

    @property
    def deadline(self) -> datetime | None:
        """When the caller stops waiting."""


class Verb(NamedTuple):
    """What a caller sees of one verb.

    Attributes:
        name: as in its subject.
        command: the struct of its body.
        reply: the struct of its reply.
        roles: who may ask (docs/security.md), beside the service's own checks.
        least: the smallest body that is accepted, if there is what it names.
        keyed: whether it takes an idempotency key, since it may change something.
        opaque: the field that is taken as text, however deep it is nested, before it is looked at.
    """

    name: str
    command: type[Struct]
    reply: type[Struct]
    roles: tuple[str, ...]
    least: Mapping[str, Any] = {}
    keyed: bool = False
    opaque: str | None = None


_CALL: Final = {"provider": "openai"}
_HOLD: Final = {"hold_id": "h"}
_CHANGED: Final = SubscriptionChangeReply

VERBS: Final = (
    Verb("track", Track, TrackReply, (APP,), _CALL, keyed=True),
    Verb("batch", Batch, BatchReply, (APP,), {"events": []}, keyed=True, opaque="events"),
    Verb("enforce", Enforce, EnforceReply, (APP,), _CALL),
    Verb(
        "preflight",
        Preflight,
        PreflightReply,
        (APP,),
        {"operations": [_CALL]},
        keyed=True,  # it changes something only if it holds
        opaque="operations",
    ),
    Verb("hold", Hold, HoldReply, (APP,), _CALL, keyed=True),
    Verb("extend", Extend, HoldReply, (APP,), _HOLD, keyed=True),
    Verb("release", Release, ReleaseReply, (APP,), _HOLD, keyed=True),
    Verb("holds", Holds, HoldsReply, (APP,)),
    Verb("reset", Reset, ResetReply, (ADMIN,), keyed=True),
    Verb("stats", Stats, StatsReply, _READ),
    Verb("trends", Trends, TrendsReply, _READ),
    Verb("logs", Logs, LogsReply, _READ),
    Verb("alerts", Alerts, AlertsReply, (*_READ, DASHBOARD)),
    Verb("ack", Ack, AckReply, (ADMIN,), {"all": True}, keyed=True),
    Verb(
        "subscribe",
        Subscribe,
        _CHANGED,
        (ADMIN,),
        {"plan": "Pro", "billing_cycle": "monthly"},
        keyed=True,
        opaque="overrides",
    ),
    Verb("cancel", Cancel, _CHANGED, (ADMIN,), keyed=True),
    Verb("suspend", Suspend, _CHANGED, (ADMIN,), keyed=True),
    Verb("resume", Resume, _CHANGED, (ADMIN,), keyed=True),
    Verb("subscription", Subscription, SubscriptionReply, _READ),
    Verb("dashboard", Dashboard, DashboardReply, (DASHBOARD, ADMIN)),
)
"""The verbs for one user, in the order in which the documentation has them."""

CATALOG_VERBS: Final = (
    Verb("catalog.plans.list", catalog.PlansList, catalog.PlansReply, _READ),
    Verb(
        "catalog.plans.put",
        catalog.PlansPut,
        catalog.PlanPutReply,
        (ADMIN,),
        {
            "name": "Team",
            "tier": "team",
            "price_monthly": 1,
            "price_yearly": 10,
            "limits": {},
            "features": [],
        },
        keyed=True,
    ),
    Verb("catalog.prices.list", prices.PricesList, prices.PricesReply, _READ),
    Verb(
        "catalog.prices.put",
        prices.PricesPut,
        prices.PricePutReply,
        (ADMIN,),
        {"provider": "exa", "model": "m", "cost_per_request": 1},
        keyed=True,
    ),
    Verb(
        "catalog.prices.cancel",
        prices.PricesCancel,
        prices.PriceCancelReply,
        (ADMIN,),
        {"provider": "exa", "model": "m", "effective_from": "9999-01-01T00:00:00Z"},
        keyed=True,
    ),
    Verb("catalog.prices.unpriced", prices.PricesUnpriced, prices.UnpricedReply, _READ),
    Verb("catalog.providers.list", catalog.ProvidersList, catalog.ProvidersReply, _READ),
    Verb("catalog.units.list", catalog.UnitsList, catalog.UnitsReply, _READ),
    Verb(
        "catalog.units.put",
        catalog.UnitsPut,
        catalog.UnitPutReply,
        (ADMIN,),
        {"id": "pages_scanned"},
        keyed=True,
    ),
    Verb(
        "catalog.units.archive",
        catalog.UnitsArchive,
        catalog.UnitPutReply,
        (ADMIN,),
        {"id": "pages_scanned"},
        keyed=True,
    ),
    Verb(
        "catalog.providers.put",
        catalog.ProvidersPut,
        catalog.ProviderPutReply,
        (ADMIN,),
        {"id": "vllm"},
        keyed=True,
    ),
    Verb(
        "catalog.providers.archive",
        catalog.ProvidersArchive,
        catalog.ProviderArchivedReply,
        (ADMIN,),
        {"id": "vllm"},
        keyed=True,
    ),
    Verb(
        "catalog.estimate.cost",
        prices.EstimateCost,
        prices.EstimateReply,
        (APP, READER, ADMIN),
        _CALL,
    ),
    Verb("catalog.users.list", catalog.UsersList, catalog.UsersReply, _READ),
)
"""The verbs of the catalogue."""

BY_NAME: Final[Mapping[str, Verb]] = {verb.name: verb for verb in (*VERBS, *CATALOG_VERBS)}
COMMANDS: Final[Mapping[str, type[Struct]]] = {verb.name: verb.command for verb in VERBS}
CATALOG_COMMANDS: Final[Mapping[str, type[Struct]]] = {
    verb.name: verb.command for verb in CATALOG_VERBS
}
KEYED: Final = frozenset(verb.name for verb in BY_NAME.values() if verb.keyed)
"""The verbs that take an idempotency key."""


def opaque_field(verb: Verb) -> str | None:
    """The field of a body that is taken as text: the one that says so, else the only raw one.

    None if several are, as prices: which of them is nested too deep is not known.
    """
    if verb.opaque is not None:
        return verb.opaque
    raw = [field.name for field in fields(verb.command) if field.type is Raw]
    return raw[0] if len(raw) == 1 else None
