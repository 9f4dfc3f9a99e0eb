"""Plans that are put and listed: contract, section 4. Pure."""

from __future__ import annotations

import msgspec

from actors.billing.catalog.catalog import Catalog, Plan, is_cost
from actors.billing.catalog.pages import ENTRIES_MAX, Page, start_of
from actors.billing.fingerprint import fingerprint, value_of
from messages.catalog import PlanEntry, PlanPutReply, PlansList, PlansPut
from messages.codec import money_of
from messages.errors import InvalidRequest
from messages.stored.catalog import PlanPut, PlanTerms
from messages.units import usd


def put_plan(catalog: Catalog, ask: PlansPut) -> PlanPut:
    """A new version of a plan.

    Raises:
        InvalidRequest: an unknown limit, an invalid amount, or another tier.
    """
    known = catalog.plan(ask.name)
    if known is not None and known.terms.name == ask.name and known.terms.tier != ask.tier:
        raise InvalidRequest(f"the plan {ask.name[:64]!r} is of tier {known.terms.tier!r}", "tier")
    limits = tuple(
        (name, catalog.limit_value(name, raw, "limits")) for name, raw in ask.limits.items()
    )
    terms = PlanTerms(ask.name, ask.tier, catalog.version + 1, limits, tuple(ask.features))
    return PlanPut(
        terms=terms,
        price_monthly_nano=_required(ask.price_monthly, "price_monthly"),
        price_yearly_nano=_required(ask.price_yearly, "price_yearly"),
        content=content_of(ask),
    )


def content_of(ask: PlansPut) -> str:
    """The digest of a plan that is put."""
    limits = {name: value_of(raw) for name, raw in sorted(ask.limits.items())}
    prices = [value_of(ask.price_monthly), value_of(ask.price_yearly)]
    return fingerprint(PlansPut.__name__, [ask.name, ask.tier, prices, limits, ask.features])


def answered(event: PlanPut, key: str, seq: int, *, duplicate: bool) -> PlanPutReply:
    """The reply to a plan that was put."""
    plan = Plan(event.terms, event.price_monthly_nano, event.price_yearly_nano)
    return PlanPutReply(
        plan=_entry(plan),
        version=event.terms.version,
        event_id=key,
        duplicate=duplicate,
        seq=seq,
    )


def plans(catalog: Catalog, ask: PlansList) -> Page:
    """All plans behind a cursor.

    Raises:
        InvalidRequest: the cursor of another list.
    """
    digest, start = start_of(ask.cursor, "plans")
    shown = catalog.plans[start : start + ENTRIES_MAX]
    last = start + len(shown) >= len(catalog.plans)
    entries = map(_entry, shown)
    return Page(entries, len(shown), start, last, digest, catalog.version, catalog.seq)


def _required(raw: msgspec.Raw, field: str) -> int:
    amount = money_of(raw, field)
    if amount is None:
        raise InvalidRequest(f"{field} must be a number", field)
    return amount


def _entry(plan: Plan) -> PlanEntry:
    terms = plan.terms
    return PlanEntry(
        name=terms.name,
        tier=terms.tier,
        price_monthly=usd(plan.price_monthly_nano),
        price_yearly=usd(plan.price_yearly_nano),
        limits={name: usd(value) if is_cost(name) else value for name, value in terms.limits},
        features=terms.features,
        version=terms.version,
    )
