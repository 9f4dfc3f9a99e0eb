"""What happened and is stored for ever. Add kinds and optional fields; never edit one.

An event carries all that its effect needed of the catalogue and the clock: the charge and
the version of its price, the period it counts in, the alerts it raised, and at a period's
opening the plan's terms. Replay looks at nothing else. Money is in nano-USD (``*_nano``),
instants in microseconds since the epoch.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from .catalog import (
    CatalogEvent,
    PlanPut,
    PlanTerms,
    PriceCancelled,
    PricePut,
    ProviderArchived,
    ProviderPut,
    UnitArchived,
    UnitPut,
)
from .detail import HoldDetail, PriceThen, UsageDetail
from .names import USAGE_NAMES
from .tally import TallyTotals

Counters = tuple[int, int, int]
"""Calls, tokens and cost in nano-USD, in this order."""
NO_TIME: Final[Any] = float(0)
"""The response time of a call whose caller gives none: this object, so it is left out.

No literal and of no type: compiled code would make another object of it."""


class Alert(Struct, frozen=True, kw_only=True):
    """A limit's threshold was crossed, as stored and published.

    ``used`` and ``limit`` are counts, or nano-USD if ``unit`` is ``cost``.
    """

    id: str
    type: str
    threshold_percentage: int
    severity: str
    limit_name: str
    unit: str
    provider: str | None
    title: str
    message: str
    used: int
    limit: int
    billing_period: str


class PeriodTotals(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a period counted, as a closed period is kept.

    ``providers`` holds the counters since the last reset, ``earlier`` what was counted before
    it; ``wavespeed_calls`` counts the calls of or served by wavespeed, ``text_calls`` those of
    the text group whose provider is none of the 14 of the contract; ``slept`` are the starts of
    the newest periods just before it in which nothing was written. ``tally`` is there if it has
    something to say; what was stored before there was one has none.
    """

    key: str
    start: int
    end: int
    terms: PlanTerms
    providers: dict[str, Counters] = {}
    earlier: dict[str, Counters] = {}
    wavespeed_calls: int = 0
    actual_providers: dict[str, Counters] = {}
    models: dict[str, Counters] = {}
    errors: int = 0
    response_micros: int = 0
    last_updated: int | None = None
    slept: tuple[int, ...] = ()
    tally: TallyTotals | None = None
    text_calls: int = 0


class StoredSubscription(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user's plan and the grid of months that it set.

    Period k is [anchor + k months, anchor + (k + 1) months); the billing cycle under way
    begins with period ``cycle``. ``price_nano`` is the plan's price per month.
    ``hard_overrides`` decide limits for this user, None lifts one; ``overrides`` are what was
    stored before: limits that are like those of the plan.
    """

    plan: str
    tier: str
    price_nano: int
    billing_cycle: str
    anchor: int
    cycle: int = 0
    auto_renew: bool = True
    cancel_at_period_end: bool = False
    cancelled: bool = False
    overrides: tuple[tuple[str, int], ...] = ()
    hard_overrides: tuple[tuple[str, int | None], ...] = ()


class PeriodRolled(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A period became the current one; ``closed`` is the one that was, if any.

    ``slept`` are the starts of the newest periods between the two in which nothing was written.
    ``subscription`` is there if the boundary changed it, ``renewed`` if a billing cycle
    began with it; ``suspended``: the user is; ``announced``: a `PeriodClosed` came before, so that
    the end of ``closed`` is not published again.
    """

    key: str
    start: int
    end: int
    terms: PlanTerms
    closed: PeriodTotals | None = None
    slept: tuple[int, ...] = ()
    subscription: StoredSubscription | None = None
    renewed: bool = False
    suspended: bool = False
    announced: bool = False


class PeriodClosed(Struct, frozen=True, kw_only=True):
    """A period that is over is published as closed, with these totals; no other one is opened.

    It is the current one, which ends without a call that would open the next; or one that got its
    first usage when it was over: then the totals have that call, which is the row just behind.
    """

    totals: PeriodTotals


class PeriodAdded(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A late event made a past period known that was never the current one."""

    key: str
    start: int
    end: int
    terms: PlanTerms


class PeriodSealed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A closed period left the grace for late events: these totals are final."""

    totals: PeriodTotals


class CountersReset(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The counters of the current period started again."""

    billing_period: str
    reason: str | None = None


class UsageRecorded(Struct, frozen=True, omit_defaults=True, gc=False, rename=USAGE_NAMES):
    """A call was made, priced and counted in ``billing_period``.

    It is stored under `USAGE_NAMES` without what is as in most calls: its defaults are part of
    the form. `messages.stored.older` has the form before.

    ``timestamp`` is when the call was made as its caller says, absent if that is when it
    arrived. ``response_time`` is in seconds. ``adjusted`` is what a period that was announced as
    closed counts after this late event. ``late_settle``: the hold that it names was not open any
    more. ``source`` is that of a CloudEvent; ``clipped`` names side fields that were cut.
    ``detail`` has what few calls say.
    """

    provider: str
    actual: str
    model: str
    billing_period: str
    status: str = "active"
    priced: str = "catalog"
    price_version: int = 1
    cost_nano: int = 0
    cost_input_nano: int = 0
    cost_output_nano: int = 0
    cost_catalog_nano: int | None = None
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_cache_read: int | None = None
    tokens_cache_write: int | None = None
    tokens_reasoning: int | None = None
    search_count: int | None = None
    image_count: int | None = None
    page_count: int | None = None
    endpoint: str = ""
    method: str = "POST"
    response_time: float = NO_TIME
    status_code: int = 200
    request_size: int | None = None
    response_size: int | None = None
    retry_count: int = 0
    timestamp: int | None = None
    late: bool = False
    adjusted: Counters | None = None
    hold_id: str | None = None
    hold_status: str | None = None
    alerts: tuple[Alert, ...] = ()
    late_settle: bool = False
    source: str | None = None
    clipped: tuple[str, ...] = ()
    detail: UsageDetail | None = None


ERASED: Final = "{}"
"""The personal fields of an event from which they were erased, as they are stored."""


class Personal(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The personal fields of a usage event, stored apart so that they can be erased alone."""

    user_agent: str | None = None
    ip_address: str | None = None
    error_message: str | None = None
    metadata: dict[str, str] | None = None


class LimitThen(Struct, frozen=True, array_like=True):
    """A limit as it stood when a hold was decided; amounts as in `Alert`."""

    name: str
    kind: str
    limit: int
    used: int
    held: int


class DecisionThen(Struct, frozen=True, omit_defaults=True):
    """What the reply of a granted hold says beside the amounts."""

    billing_period: str
    status: str
    resets_at: int
    limits: tuple[LimitThen, ...] = ()


class HoldPlaced(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Amounts were set aside until ``expires_at``; the hold's id is the row's key.

    ``derived``: the cost is the service's estimate and follows the tokens. ``content`` is the
    digest of what was asked, as in all events below. ``detail`` has what few holds say. What was
    stored before there was a ``price`` has none.
    """

    hold_id: str
    provider: str
    actual: str
    model: str
    calls: int
    tokens: int
    cost_nano: int
    expires_at: int
    decision: DecisionThen
    content: str
    derived: bool = False
    detail: HoldDetail | None = None
    price: PriceThen | None = None


class HoldExtended(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An open hold has another expiry or other amounts.

    ``units`` are the hold's from now on, as in its detail; None: they stay as they are.
    """

    hold_id: str
    tokens: int
    cost_nano: int
    expires_at: int
    calls: int
    provider: str
    actual: str
    decision: DecisionThen
    content: str
    derived: bool = False
    price: PriceThen | None = None
    units: dict[str, int] | None = None


class HoldReleased(Struct, frozen=True, kw_only=True):
    """An open hold was ended without a call."""

    hold_id: str
    content: str


class PreflightHeld(Struct, frozen=True, kw_only=True):
    """All operations of a preflight were set aside, by the rows just before this one.

    ``types`` are what the caller calls the operations.
    """

    operations: tuple[HoldPlaced, ...]
    types: tuple[str | None, ...]
    content: str


class AlertsRead(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Alerts were marked read; ``unread`` is how many are left."""

    ids: tuple[str, ...]
    unread: int
    content: str


class Subscribed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The user is on a plan from now on.

    ``terms`` hold for the current period, which this opened if ``opened`` is set, by a row
    just before. ``previous`` is the plan before, None without one; ``usage_before`` is what the
    period before counted.
    """

    subscription: StoredSubscription
    terms: PlanTerms
    renewal_type: str
    content: str
    opened: bool = False
    previous: str | None = None
    before: str | None = None
    usage_before: Counters = (0, 0, 0)
    suspended: bool = False
    alerts: tuple[Alert, ...] = ()


class SubscriptionChanged(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``cancel``, ``suspend`` or ``resume`` (``change``) took effect.

    ``terms`` are there if the current period has others from now on.
    """

    change: str
    content: str
    subscription: StoredSubscription | None = None
    suspended: bool = False
    reason: str | None = None
    terms: PlanTerms | None = None
    alerts: tuple[Alert, ...] = ()


Event = (
    PeriodRolled
    | PeriodClosed
    | PeriodAdded
    | PeriodSealed
    | CountersReset
    | UsageRecorded
    | HoldPlaced
    | HoldExtended
    | HoldReleased
    | PreflightHeld
    | AlertsRead
    | Subscribed
    | SubscriptionChanged
)
"""What can happen to a user."""

KIND: Final[dict[type[Event | CatalogEvent], str]] = {
    PeriodRolled: "period_rolled",
    PeriodClosed: "period_closed",
    PeriodAdded: "period_added",
    PeriodSealed: "period_sealed",
    CountersReset: "reset",
    UsageRecorded: "usage",
    HoldPlaced: "hold",
    HoldExtended: "hold_extended",
    HoldReleased: "hold_released",
    PreflightHeld: "preflight",
    AlertsRead: "alerts_read",
    Subscribed: "subscribed",
    SubscriptionChanged: "subscription_changed",
    PlanPut: "plan",
    PricePut: "price",
    PriceCancelled: "price_cancelled",
    UnitPut: "unit",
    UnitArchived: "unit_archived",
    ProviderPut: "provider",
    ProviderArchived: "provider_archived",
}
