"""Between the model's plain values and the wire: nano-USD and microseconds on one side."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from messages.codec import encode_reply
from tests.sim.model.periods import moment
from tests.support.meter import micros
from tests.support.rig import Answer

UNITS: Final = ("units", "units_requested")
MONEY: Final = ("cost", "cost_requested")
TIMES: Final = ("timestamp", "period_start", "effective_from", "since", "until")
TRACK: Final = (
    *("cost", "cost_input", "cost_output", "cost_catalog", "priced", "tokens_used"),
    *("billing_period", "usage_status", "provider", "actual_provider_name", "late"),
    *("price_model", "matched_by", "variant_priced", "tier", "unpriced"),
    *("hold_status", "late_settle", "alerts", "duplicate"),
)
JUDGED: Final = (
    *("allowed", "reason_code", "violated", "limits", "usage_status", "billing_period"),
)
KEPT: Final[dict[str, tuple[str, ...]]] = {
    "track": TRACK,
    "enforce": JUDGED,
    "hold": (*JUDGED, "hold_id", "expires_at", "duplicate"),
    "extend": (*JUDGED, "hold_id", "expires_at", "duplicate"),
    "release": ("released", "duplicate"),
    "preflight": ("allowed", "reason_code", "failed_index", "operations", "duplicate"),
    "alerts": ("alerts", "total", "unread_count"),
    "ack": ("acked", "unread_count", "duplicate"),
    "subscribe": ("subscription", "renewal_type", "alerts", "duplicate"),
    "cancel": ("subscription", "renewal_type", "alerts", "duplicate"),
    "suspend": ("subscription", "renewal_type", "alerts", "duplicate"),
    "resume": ("subscription", "renewal_type", "alerts", "duplicate"),
    "subscription": ("subscription",),
    "logs": ("total_count",),
}


def nano(usd: Any) -> int:
    """An amount of USD as nano-USD."""
    amount = Fraction(str(usd)) * 10**9
    assert amount.denominator == 1
    return amount.numerator


def units(amounts: dict[str, Any]) -> dict[str, int]:
    """Amounts of units as nano-units."""
    return {name: nano(amount) for name, amount in amounts.items()}


def encoded(body: dict[str, Any]) -> bytes:
    """A body of the model as the wire has it."""

    def sent(key: str, value: Any) -> Any:
        if key in MONEY:
            return Decimal(value).scaleb(-9)
        if key in UNITS and all(isinstance(amount, int) for amount in value.values()):
            return {name: Decimal(amount).scaleb(-9) for name, amount in value.items()}
        if key in TIMES:
            return moment(value)
        if isinstance(value, dict):
            return {name: sent(name, part) for name, part in value.items()}
        if isinstance(value, list):
            return [sent("", part) for part in value]
        return Decimal(value) if key.endswith("_cost") and value is not None else value

    return encode_reply({key: sent(key, value) for key, value in body.items()})


def decoded(verb: str, answer: Answer) -> Any:
    """An answer as the model gives it."""
    body = json.loads(answer.payload, parse_float=Decimal)
    if answer.code:
        return ("error", body["error"]["code"], body["error"]["field"])
    return plain(verb, body)


def plain(verb: str, body: dict[str, Any]) -> Any:
    """What the contract fixes of a reply."""
    if verb in KEPT:
        return {name: _value(verb, name, body[name]) for name in KEPT[verb]}
    if verb == "batch":
        results = [
            {"error": [x["error"]["code"], x["error"]["field"]]}
            if "error" in x
            else plain("track", x)
            for x in body["results"]
        ]
        return {"results": results}
    return _SUMMARIES[verb](body)


def _value(verb: str, name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "alerts" and verb == "alerts":
        return sorted(map(_alert, value), key=str)
    read = _READ.get(name)
    return value if read is None else read(value)


def _limit(x: dict[str, Any]) -> tuple[Any, ...]:
    amounts = [x[part] for part in ("limit", "used", "held", "requested", "remaining")]
    if x["unit"] == "cost":
        amounts = [nano(amount) for amount in amounts]
    return (x["name"], *amounts, x["kind"] == "hard")


def _alert(x: dict[str, Any]) -> dict[str, Any]:
    cost = x["unit"] == "cost"
    return {
        "limit_name": x["limit_name"],
        "threshold_percentage": x["threshold_percentage"],
        "used": nano(x["used"]) if cost else x["used"],
        "limit": nano(x["limit"]) if cost else x["limit"],
        "billing_period": x["billing_period"],
        "is_read": x["is_read"],
    }


def subscription(x: dict[str, Any]) -> dict[str, Any]:
    """A subscription as the model has it."""
    times = {part: micros(x[part]) for part in ("current_period_start", "current_period_end")}
    overrides = {
        name: nano(value) if name.endswith("_cost") and value is not None else value
        for name, value in x["overrides"].items()
    }
    return {**x, **times, "overrides": overrides}


def _stats(body: dict[str, Any]) -> dict[str, Any]:
    def used(parts: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
        return {
            name: (part["calls"], part["tokens"], nano(part["cost"]))
            for name, part in parts.items()
            if part["calls"]
        }

    def units_of(parts: dict[str, Any]) -> dict[str, dict[str, int]]:
        return {name: units(part["units"]) for name, part in parts.items() if part["calls"]}

    estimated = body["estimated"]
    breakdowns = ("provider_breakdown", "actual_provider_breakdown", "model_breakdown")
    return {
        "units": units(body["units"]),
        "units_by": [units_of(body[name]) for name in breakdowns],
        "estimated": (estimated["calls"], estimated["tokens"], nano(estimated["cost"])),
        "unpriced_calls": body["unpriced_calls"],
        "billing_period": body["billing_period"],
        "period_start": micros(body["period_start"]),
        "period_end": micros(body["period_end"]),
        "usage_status": body["usage_status"],
        "total_calls": body["total_calls"],
        "total_tokens": body["total_tokens"],
        "total_cost": nano(body["total_cost"]),
        "plan": body["limits"]["plan_name"],
        "by_provider": used(body["provider_breakdown"]),
        "by_actual": used(body["actual_provider_breakdown"]),
        "by_model": used(body["model_breakdown"]),
        "percentages": {name: float(value) for name, value in body["usage_percentages"].items()},
    }


def _trends(body: dict[str, Any]) -> dict[str, Any]:
    for trend in body["provider_trends"].values():
        assert {len(values) for values in trend.values()} == {len(body["periods"])}
    return {
        "periods": body["periods"],
        "total_calls": body["total_calls"],
        "total_tokens": body["total_tokens"],
        "total_cost": [nano(cost) for cost in body["total_cost"]],
        "providers": sorted(body["provider_trends"]),
        "units": {
            unit: [nano(total) for total in totals] for unit, totals in body["unit_trends"].items()
        },
    }


def _holds(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "holds": [
            (x["hold_id"], x["calls"], x["tokens"], nano(x["cost"]), micros(x["expires_at"]))
            for x in body["holds"]
        ],
        "units": [units(x["units"]) for x in body["holds"]],
    }


def _dashboard(body: dict[str, Any]) -> dict[str, Any]:
    found = body["projections"]
    limit = found["cost_limit"]
    return {
        "projected_cost": nano(found["projected_cost"]),
        "cost_limit": None if limit is None else nano(limit),
        "days_left": found["days_left"],
        "unread": len(body["alerts"]),
    }


_READ: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("cost", "cost_input", "cost_output", "cost_catalog"), nano),
    "alerts": len,
    "violated": sorted,
    "unpriced": sorted,
    "limits": lambda value: sorted(map(_limit, value)),
    "operations": lambda value: [
        {part: _value("", part, op[part]) for part in JUDGED} for op in value
    ],
    "expires_at": micros,
    "subscription": subscription,
}
_SUMMARIES: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "stats": _stats,
    "trends": _trends,
    "holds": _holds,
    "dashboard": _dashboard,
    "reset": lambda body: {"reset": body["reset"], "billing_period": body["billing_period"]},
}
