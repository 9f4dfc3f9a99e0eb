"""Replies of the catalogue for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.text import Text

from actors.cli.views import amount, cell, counted, grid, instant, lines
from messages.catalog import (
    PlanEntry,
    PlanPutReply,
    PlansReply,
    ProviderArchivedReply,
    ProviderEntry,
    ProviderPutReply,
    ProvidersReply,
    UnitEntry,
    UnitPutReply,
    UnitsReply,
    UsersReply,
)
from messages.dimensions import DIMENSIONS, TOKEN_PRICES, Dimension
from messages.prices import (
    EstimateReply,
    PriceCancelReply,
    PriceEntry,
    PricePutReply,
    PricesReply,
    TierEntry,
    UnitPriceEntry,
    UnpricedReply,
)
from messages.quantities import SCALE_MAX, quantity


def plans(reply: PlansReply) -> RenderableType:
    """The reply to ``plans.list``."""
    return lines(*map(_plan, reply.plans), Text(counted(len(reply.plans), "plan")))


def plan_put(reply: PlanPutReply) -> RenderableType:
    """The reply to ``plans.put``."""
    return lines(_plan(reply.plan), Text(f"version {reply.version:,}"))


def _plan(plan: PlanEntry) -> RenderableType:
    head = Text.assemble((plan.name, "bold"), f" ({plan.tier}), {amount(plan.price_monthly)} USD")
    head.append(f" a month, {amount(plan.price_yearly)} USD a year")
    shown = grid("limit", "#value")
    for name, value in plan.limits.items():
        shown.add_row(cell(name), amount(value))
    features = Text(f"features: {', '.join(plan.features)}" if plan.features else "")
    return lines(head, shown, features)


def prices(reply: PricesReply) -> RenderableType:
    """The reply to ``prices.list``: USD of a million tokens, and of one of all else."""
    shown = grid("provider", "model", "variant", "from", "USD")
    for price in reply.prices:
        shown.add_row(
            cell(price.provider),
            cell(price.model),
            cell(price.variant),
            instant(price.effective_from),
            cell(_costs(price)),
        )
    return lines(shown, Text(f"{counted(len(reply.prices), 'price')}; tokens by the million"))


def price_put(reply: PricePutReply) -> RenderableType:
    """The reply to ``prices.put``."""
    price = reply.price
    variant = f" ({price.variant})" if price.variant else ""
    head = f"{price.provider} {price.model}{variant} from {instant(price.effective_from)}: "
    return cell(f"{head}{_costs(price)}")


def price_cancelled(reply: PriceCancelReply) -> RenderableType:
    """The reply to ``prices.cancel``."""
    variant = f" ({reply.variant})" if reply.variant else ""
    since = instant(reply.effective_from)
    return cell(f"{reply.provider} {reply.model}{variant} from {since} is taken back")


def unpriced(reply: UnpricedReply) -> RenderableType:
    """The reply to ``prices.unpriced``."""
    shown = grid("provider", "model", "how", "#calls", "#tokens", "#USD", "#users", "last seen")
    for row in reply.rows:
        name = f"{row.model} ({row.variant})" if row.variant else row.model
        shown.add_row(
            *map(cell, (row.provider, name, row.how)),
            *(f"{row.calls:,}", f"{row.tokens:,}", amount(row.cost)),
            f"{row.users:,}{'+' if row.users_capped else ''}",
            instant(row.last_seen),
        )
    notes = [Text(counted(len(reply.rows), "model"))]
    if reply.complete_since is not None:
        earlier = f"calls before {instant(reply.complete_since)} were not looked at"
        notes.append(Text(earlier, "yellow"))
    if reply.unread:
        notes.append(Text(f"{counted(reply.unread, 'row')} of the log cannot be read", "yellow"))
    return lines(shown, *notes)


def _costs(price: PriceEntry) -> str:
    found = _of_tokens(price, DIMENSIONS)
    for tier in price.tiers:
        found.append(f"above {tier.above_input_tokens:,} tokens of input:")
        found += _of_tokens(tier, TOKEN_PRICES)
    for name, unit in price.units.items():
        usd, per = (unit.usd, unit.per) if isinstance(unit, UnitPriceEntry) else (unit, 1)
        found.append(f"{name} {amount(usd)}" + (f" for {per:,}" if per != 1 else ""))
    found += [f"{name} times {amount(factor)}" for name, factor in price.multipliers.items()]
    if price.aliases:
        found.append(f"also called {', '.join(price.aliases)}")
    return ", ".join(found).replace(":,", ":")


def _of_tokens(price: PriceEntry | TierEntry, dimensions: Iterable[Dimension]) -> list[str]:
    """Prices of tokens by the million, and of one of all else."""
    found = []
    for dimension in dimensions:
        cost = getattr(price, dimension.cost_field)
        if cost is not None:
            name = dimension.price.replace("_", " ")
            is_token = name.endswith("token")
            found.append(f"{name} {amount(cost * 10**6 if is_token else cost)}")
    for part, cost in price.token_parts.items():
        found.append(f"{part.replace('_', ' ')} {amount(cost * 10**6)}")
    return found


def providers(reply: ProvidersReply) -> RenderableType:
    """The reply to ``providers.list``."""
    shown = grid("provider", "kind", "default model", "also called", "state")
    for entry in reply.providers:
        aliases = ", ".join(entry.aliases)
        texts = (entry.id, entry.kind, entry.default_model, aliases, _state(entry))
        shown.add_row(*map(cell, texts))
    return shown


def units(reply: UnitsReply) -> RenderableType:
    """The reply to ``units.list``."""
    shown = grid("unit", "name", "#decimals", "#most in a call", "")
    for unit in reply.units:
        about = "built in" if unit.builtin else "archived" if unit.archived else ""
        shown.add_row(cell(unit.id), cell(unit.name), str(unit.scale), _most(unit), about)
    return lines(shown, Text(counted(len(reply.units), "unit")))


def unit_put(reply: UnitPutReply) -> RenderableType:
    """The reply to ``units.put`` and ``units.archive``."""
    unit = reply.unit
    state = "archived" if unit.archived else f"at most {_most(unit)} in a call"
    return cell(f"{unit.id} ({unit.name}), {counted(unit.scale, 'decimal')}, {state}")


def _most(unit: UnitEntry) -> str:
    """The most in one call, in the unit."""
    if unit.max_per_call is None:
        return ""
    return amount(quantity(unit.max_per_call * 10 ** (SCALE_MAX - unit.scale)))


def _state(entry: ProviderEntry) -> str:
    if entry.archived:
        return "archived"
    return "named by a call" if entry.registered else ""


def provider_put(reply: ProviderPutReply) -> RenderableType:
    """The reply to ``providers.put``."""
    entry = reply.provider
    about = f"{entry.id} ({entry.kind}), {entry.default_model}, served by {entry.served_by}"
    return cell(f"{about}: version {reply.version:,}")


def provider_archived(reply: ProviderArchivedReply) -> RenderableType:
    """The reply to ``providers.archive``."""
    return cell(f"{reply.id} is archived: version {reply.version:,}")


def users(reply: UsersReply) -> RenderableType:
    """The reply to ``users.list``."""
    shown = grid("user", "plan", "period", "#calls", "#tokens", "#USD", "status")
    for user in reply.users:
        if user.total_cost is None:
            shown.add_row(cell(user.user_id), "", "", "", "", "", "cannot be read")
            continue
        shown.add_row(
            cell(user.user_id),
            cell(user.plan or ""),
            user.billing_period or "",
            f"{user.total_calls:,}",
            f"{user.total_tokens:,}",
            amount(user.total_cost),
            user.usage_status or "",
        )
    return lines(shown, Text(counted(len(reply.users), "user")))


def estimated(reply: EstimateReply) -> RenderableType:
    """The reply to ``estimate.cost``."""
    tokens = f"{reply.tokens_input:,} tokens in and {reply.tokens_output:,} out"
    by = f" by {reply.price_model}" if reply.price_model else ""
    missing = f"; without a price: {', '.join(reply.unpriced)}" if reply.unpriced else ""
    return Text(f"{amount(reply.cost)} USD ({reply.priced}{by}) for {tokens}{missing}")
