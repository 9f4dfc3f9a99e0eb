"""Replies of the catalogue for people."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from actors.cli.views import amount, cell, counted, grid, instant, lines
from messages.catalog import (
    EstimateReply,
    PlanEntry,
    PlanPutReply,
    PlansReply,
    PriceEntry,
    PricePutReply,
    PricesReply,
    ProvidersReply,
    UnpricedReply,
    UsersReply,
)
from messages.dimensions import DIMENSIONS


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
    shown = grid("provider", "model", "from", "USD")
    for price in reply.prices:
        shown.add_row(
            cell(price.provider), cell(price.model), instant(price.effective_from), _costs(price)
        )
    return lines(shown, Text(f"{counted(len(reply.prices), 'price')}; tokens by the million"))


def price_put(reply: PricePutReply) -> RenderableType:
    """The reply to ``prices.put``."""
    price = reply.price
    head = f"{price.provider} {price.model} from {instant(price.effective_from)}: "
    return cell(f"{head}{_costs(price)}")


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
    found = []
    for dimension in DIMENSIONS:
        cost = getattr(price, dimension.cost_field)
        if cost is not None:
            name = dimension.price.replace("_", " ")
            is_token = name.endswith("token")
            found.append(f"{name} {amount(cost * 10**6 if is_token else cost)}")
    return ", ".join(found)


def providers(reply: ProvidersReply) -> RenderableType:
    """The reply to ``providers.list``."""
    shown = grid("provider", "kind", "default model", "also called")
    for entry in reply.providers:
        aliases = ", ".join(entry.aliases)
        shown.add_row(*map(cell, (entry.name, entry.kind, entry.default_model, aliases)))
    return shown


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
    return Text(f"{amount(reply.cost)} USD ({reply.priced}) for {tokens}")
