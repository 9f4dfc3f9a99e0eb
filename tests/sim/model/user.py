"""One user by the contract, whole: subscriptions, summaries and alerts on top of the calls."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.sim.model import reference as r
from tests.sim.model.calls import Calls
from tests.sim.model.periods import name, plus_months
from tests.sim.model.reference import DAY, Call, Refused
from tests.sim.model.units import estimates, sums, sums_by


class Model(Calls):
    """A user; `ask` gives the reply that the contract asks for, or raises `Refused`."""

    def _stats(self, body: dict[str, Any]) -> dict[str, Any]:
        period = self._seen()
        if "billing_period" in body:
            found = [p for p in [*self.periods, period] if p.key == body["billing_period"]]
            if not found:
                raise Refused("unknown_period", "billing_period")
            period = found[0]
        calls = period.counted()
        limits = [limit for limit in r.limits_of(period.plan) if not limit["off"]]
        return {
            "billing_period": period.key,
            "period_start": period.start,
            "period_end": period.end,
            "usage_status": self._status(period),
            **totals(calls),
            "plan": period.plan["name"],
            "by_provider": split(calls, "provider"),
            "by_actual": split(calls, "actual"),
            "by_model": split(calls, "model"),
            "units": sums(calls),
            "units_by": [sums_by(calls, by) for by in ("provider", "actual", "model")],
            "estimated": estimates(calls),
            "unpriced_calls": sum(bool(call.unpriced) for call in calls),
            "percentages": {
                limit["name"]: Fraction(r.amount(limit, calls) * 100, limit["value"])
                for limit in limits
            },
        }

    def _trends(self, body: dict[str, Any]) -> dict[str, Any]:
        months, current = body.get("months", 6), self._seen()
        others = [p for p in self.periods if p is not current]
        rows = [(p.start, p.key, p.calls) for p in sorted(others, key=lambda p: p.start)]
        starts = {p.start for p in [*others, current]}
        slept = {start for p in [*others, current] for start in p.slept} - starts
        rows += [(start, name(start), []) for start in slept]
        rows.sort(key=lambda row: row[0])
        rows.append((current.start, current.key, current.calls))
        while len(rows) < months:
            first = r.calendar(rows[0][0])[0]
            before = plus_months(first, -1)
            rows.insert(0, (before, name(before), []))
        rows = rows[-months:]
        units = [sums(calls) for _, _, calls in rows]
        return {
            "units": {
                unit: [of_period.get(unit, 0) for of_period in units]
                for unit in {name for of_period in units for name in of_period}
            },
            "periods": [key for _, key, _ in rows],
            "total_calls": [len(calls) for _, _, calls in rows],
            "total_tokens": [sum(c.tokens for c in calls) for _, _, calls in rows],
            "total_cost": [sum(c.cost for c in calls) for _, _, calls in rows],
            "providers": sorted({c.provider for _, _, calls in rows for c in calls}),
        }

    def _logs(self, body: dict[str, Any]) -> dict[str, Any]:
        labels = {"model_used", "key", "outcome", "tags"}
        said = {name for name, value in body.items() if value != {}}
        if {"cursor", "since", "event_id", *labels} & said:
            return {"total_count": None}
        found = [
            call
            for period in self.periods
            for call in period.calls
            if body.get("billing_period") in {None, period.key}
            and body.get("provider") in {None, call.provider}
        ]
        both = {"billing_period", "provider"} <= set(body)
        return {"total_count": None if both else len(found)}

    def _alerts(self, body: dict[str, Any]) -> dict[str, Any]:
        period = body.get("billing_period")
        mine = [a for a in self.alerts if period in {None, a["billing_period"]}]
        unread = [alert for alert in mine if not alert["is_read"]]
        found = unread if body.get("unread_only") else mine
        shown = [dict(alert) for alert in found[::-1][: body.get("limit", 50)]]
        return {"alerts": shown, "total": len(found), "unread_count": len(unread)}

    def _ack(self, body: dict[str, Any]) -> dict[str, Any]:
        """``which`` are the alerts by their place; the test turns them into ids."""
        chosen = self.alerts if body.get("all") else [self.alerts[at] for at in body["which"]]
        acked = 0
        for alert in chosen:
            acked += not alert["is_read"]
            alert["is_read"] = True
        left = sum(not alert["is_read"] for alert in self.alerts)
        return {"acked": acked, "unread_count": left, "duplicate": False, "used_up": True}

    def _subscribe(self, body: dict[str, Any]) -> dict[str, Any]:
        plan = self.catalogue.plan_named(body["plan"])
        if plan is None:
            raise Refused("unknown_plan", "plan")
        sub, now = self.sub, self.now
        live = sub is not None and not sub["cancelled"] and not r.expired(sub, now)
        other = live and sub is not None and sub["plan"] != plan["name"]
        keep = other and "period_start" not in body
        if "period" in body:
            keep = body["period"] == "keep"
        if keep and ("period_start" in body or not live):
            raise Refused("invalid_request", "period")
        yearly = body["billing_cycle"] == "yearly"
        wanted = {
            "plan": plan["name"],
            "tier": plan["tier"],
            "price": Fraction(plan["price_monthly"]),
            "yearly": yearly,
            "auto_renew": body.get("auto_renew", True),
            "at_end": False,
            "cancelled": False,
            "overrides": body.get("overrides", {}),
        }
        kind = "new"
        if sub is not None:
            same = sub["plan"] == plan["name"] or sub["price"] == wanted["price"]
            kind = (
                "renewal" if same else "upgrade" if wanted["price"] > sub["price"] else "downgrade"
            )
        alerts: list[dict[str, Any]] = []
        if keep:
            assert sub is not None
            assert self.current is not None
            wanted["anchor"] = sub["anchor"]
            wanted["cycle"] = (
                sub["cycle"]
                if sub["yearly"] == yearly
                else r.month_index(sub["anchor"], self.current.start)
            )
            self.sub = wanted
            alerts = self._replan(self._plan())
        else:
            anchor = latest = now
            if "period_start" in body:
                anchor, latest = body["period_start"], now - self.ahead
            if not latest - 366 * DAY <= anchor <= latest:
                raise Refused("invalid_request", "period_start")
            index = r.month_index(anchor, now)
            months = 12 if yearly else 1
            wanted["anchor"] = anchor
            wanted["cycle"] = index // months * months if wanted["auto_renew"] else 0
            self.sub = wanted
            bounds = plus_months(anchor, index), plus_months(anchor, index + 1)
            fresh = not self.periods
            self.current = self._open(*bounds, self._plan())
            if fresh:  # its earlier periods are there to be late for
                self.current.slept = [plus_months(anchor, back) for back in range(index)]
        return {
            "subscription": self._state(),
            "renewal_type": kind,
            "alerts": len(alerts),
            "duplicate": False,
            "used_up": True,
        }

    def _replan(self, plan: dict[str, Any]) -> list[dict[str, Any]]:
        """Other limits for the current period: those that changed are armed and judged."""
        assert self.current is not None
        before = {x["name"]: (x["value"], x["off"]) for x in r.limits_of(self.current.plan)}
        self.current.plan = plan
        after = {x["name"]: (x["value"], x["off"]) for x in r.limits_of(plan)}
        for limit in {*before, *after}:
            if before.get(limit) != after.get(limit):
                self.current.fired.pop(limit, None)
        return self._fire(self.current)

    def _cancel(self, body: dict[str, Any]) -> dict[str, Any]:
        sub = self.sub
        if sub is None or sub["cancelled"] or r.expired(sub, self.now):
            raise Refused("invalid_request", None)
        alerts: list[dict[str, Any]] = []
        if body.get("at_period_end", True):
            sub["at_end"] = True
        else:
            sub.update(cancelled=True, at_end=False)
            alerts = self._replan(self._plan())
        return self._changed(len(alerts))

    def _suspend(self, _: dict[str, Any]) -> dict[str, Any]:
        self.suspended = True
        return self._changed()

    def _resume(self, _: dict[str, Any]) -> dict[str, Any]:
        self.suspended = False
        return self._changed()

    def _changed(self, alerts: int = 0) -> dict[str, Any]:
        about = {"subscription": self._state(), "renewal_type": None, "alerts": alerts}
        return {**about, "duplicate": False, "used_up": True}

    def _subscription(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"subscription": self._state()}

    def _state(self) -> dict[str, Any] | None:
        sub = self.sub
        if sub is None:
            return None
        status = "active"
        if self.suspended:
            status = "suspended"
        elif sub["cancelled"]:
            status = "cancelled"
        elif r.expired(sub, self.now):
            status = "expired"
        return {
            "plan": sub["plan"],
            "tier": sub["tier"],
            "billing_cycle": "yearly" if sub["yearly"] else "monthly",
            "status": status,
            "current_period_start": plus_months(sub["anchor"], sub["cycle"]),
            "current_period_end": r.cycle_end(sub),
            "auto_renew": sub["auto_renew"],
            "cancel_at_period_end": sub["at_end"],
            "overrides": {
                k: None if v is None else r.value_of(k, v) for k, v in sub["overrides"].items()
            },
        }

    def _dashboard(self, _: dict[str, Any]) -> dict[str, Any]:
        period = self._seen()
        cost = sum(call.cost for call in period.counted())
        elapsed = max(self.now - period.start, DAY)
        projected = r.rounded(Fraction(cost * (period.end - period.start), elapsed))
        limit = next((x for x in r.limits_of(period.plan) if x["name"] == "monthly_cost"), None)
        return {
            "projected_cost": projected,
            "cost_limit": None if limit is None else limit["value"],
            "days_left": -(-(period.end - self.now) // DAY),
            "unread": min(sum(not alert["is_read"] for alert in self.alerts), 50),
        }


def totals(calls: list[Call]) -> dict[str, int]:
    """Calls, tokens and cost."""
    return {
        "total_calls": len(calls),
        "total_tokens": sum(call.tokens for call in calls),
        "total_cost": sum(call.cost for call in calls),
    }


def split(calls: list[Call], by: str) -> dict[str, tuple[int, int, int]]:
    """Calls, tokens and cost by one of a call's names."""
    found: dict[str, tuple[int, int, int]] = {}
    for call in calls:
        count, tokens, cost = found.get(getattr(call, by), (0, 0, 0))
        found[getattr(call, by)] = (count + 1, tokens + call.tokens, cost + call.cost)
    return found
