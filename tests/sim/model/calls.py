"""One user by the contract: every command is judged by adding everything up again."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

from tests.sim.model import providers as p
from tests.sim.model import reference as r
from tests.sim.model import units
from tests.sim.model.catalogue import Catalogue, how
from tests.sim.model.contents import content_of
from tests.sim.model.periods import month, name, plus_months
from tests.sim.model.pricing import COUNTS, charged, derived, usage_of
from tests.sim.model.reference import DAY, SECOND, Call, Hold, Period, Refused

GRACE = 35 * DAY
SAID = (*COUNTS, "token_parts", "token_counting", "price_variant", "price_factors")
"""What of a call to be made is priced."""


class Calls:
    """Calls, holds and what they count against."""

    def __init__(self) -> None:
        self.periods: list[Period] = []  # in the order in which they entered the log
        self.current: Period | None = None
        self.sub: dict[str, Any] | None = None
        self.suspended = False
        self.holds: list[Hold] = []
        self.alerts: list[dict[str, Any]] = []
        self.keys: dict[str, tuple[Any, dict[str, Any]]] = {}
        self.now = 0
        self.ahead = 0
        self.catalogue = Catalogue()

    def ask(self, verb: str, body: dict[str, Any], now: int, ahead: int = 0) -> dict[str, Any]:
        """One command, at ``now`` in the user's time, which is so far ahead of the clock."""
        self.now = now
        self.ahead = ahead
        if self.current is not None and now >= self.current.end:
            self._roll()
        for hold in self.holds:
            if not hold.ended and hold.expires <= now:
                hold.ended = "expired"
        key = body.get("event_id") or body.get("hold", {}).get("event_id")
        if verb == "preflight" and "hold" not in body:
            key = None
        content = (verb, content_of(body))
        if key is not None and key in self.keys:
            before, original = self.keys[key]
            if before != content:
                raise Refused("idempotency_mismatch", "event_id")
            return {**original, "duplicate": True}
        reply: dict[str, Any] = getattr(self, f"_{verb}")(dict(body))
        used_up = reply.pop("used_up", False)
        if key is not None and used_up:
            self.keys[key] = (content, copy.deepcopy(reply))
        return reply

    # -- periods

    def _plan(self, start: int | None = None) -> dict[str, Any]:
        """The plan as it is now; for a period that begins at ``start`` an expired one stays."""
        if self.sub is None or self.sub["cancelled"]:
            return r.with_overrides(self.catalogue.free, {})
        if start is not None and r.expired(self.sub, start):
            assert self.current is not None
            return self.current.plan
        plan = self.catalogue.plan_named(self.sub["plan"])
        assert plan is not None
        return r.with_overrides(plan, self.sub["overrides"])

    def _open(self, start: int, end: int, plan: dict[str, Any]) -> Period:
        period = r.new_period(self, start, end, plan)
        self.periods.append(period)
        return period

    def _roll(self) -> None:
        """The boundaries that have passed; what was slept through is remembered."""
        assert self.current is not None
        start, slept = self.current.end, []
        while True:
            sub = self.sub
            if sub is not None and not sub["cancelled"] and start >= r.cycle_end(sub):
                if sub["at_end"]:
                    sub.update(cancelled=True, at_end=False)
                elif sub["auto_renew"]:
                    sub["cycle"] += 12 if sub["yearly"] else 1
            if sub is None or sub["cancelled"]:
                end = month(start)[1]
            else:
                end = plus_months(sub["anchor"], r.month_index(sub["anchor"], start) + 1)
            if self.now < end:
                break
            slept.append(start)
            start = end
        self.current = self._open(start, end, self._plan(start))
        self.current.slept = slept

    def _ensure(self) -> Period:
        if self.current is None:
            self.current = self._open(*month(self.now), self._plan())
        return self.current

    def _seen(self) -> Period:
        """The current period for a read, which opens none."""
        if self.current is not None:
            return self.current
        start, end = month(self.now)
        return Period(name(start), start, end, self._plan())

    # -- amounts

    def _held(self, limit: dict[str, Any], but: Hold | None = None) -> int:
        total = 0
        for hold in self.holds:
            if hold.ended or hold is but or not r.counts({**limit, "off": False}, hold.call):
                continue
            total += {"calls": hold.calls, "tokens": hold.call.tokens, "cost": hold.call.cost}[
                limit["unit"]
            ]
        return total

    def _judge(
        self,
        call: Call,
        calls: int,
        before: list[tuple[Call, int]] | None = None,
        but: Hold | None = None,
    ) -> dict[str, Any]:
        period = self._seen()
        asked = {"calls": calls, "tokens": call.tokens, "cost": call.cost}
        shown, bad = [], []
        for limit in r.limits_of(period.plan):
            if not r.counts(limit, call):
                continue
            used = r.amount(limit, period.counted())
            for earlier, count in before or []:
                if r.counts({**limit, "off": False}, earlier):
                    used += {"calls": count, "tokens": earlier.tokens, "cost": earlier.cost}[
                        limit["unit"]
                    ]
            held, want = self._held(limit, but), asked[limit["unit"]]
            room = limit["value"] - used - held
            shown.append((limit["name"], limit["value"], used, held, want, room, limit["hard"]))
            fits = want <= room if want else room > 0
            if limit["hard"] and (limit["off"] or not fits):
                bad.append(limit)
        reason = "within_limits"
        if self.suspended:
            reason = "suspended"
        elif r.expired(self.sub, self.now):
            reason = "subscription_expired"
        elif bad:
            reasons = ["disabled_by_plan" if x["off"] else r.REASONS[x["unit"]] for x in bad]
            reason = min(reasons, key=["disabled_by_plan", *r.REASONS.values()].index)
        return {
            "allowed": reason == "within_limits",
            "reason_code": reason,
            "violated": sorted(limit["name"] for limit in bad),
            "limits": sorted(shown),
            "usage_status": self._status(period),
            "billing_period": period.key,
        }

    def _level(self, limit: dict[str, Any], period: Period) -> int:
        used = r.amount(limit, period.counted())
        return max((t for t in (80, 90, 100) if used * 100 >= t * limit["value"]), default=0)

    def _status(self, period: Period) -> str:
        levels = [self._level(x, period) for x in r.limits_of(period.plan) if not x["off"]]
        top = max(levels, default=0)
        return "limit_reached" if top == 100 else "warning" if top else "active"

    def _fire(self, period: Period) -> list[dict[str, Any]]:
        """The alerts of what was just counted, the highest threshold last."""
        found = []
        for threshold in (80, 90, 100):
            for limit in r.limits_of(period.plan):
                reached = 0 if limit["off"] else self._level(limit, period)
                if period.fired.get(limit["name"], 0) < threshold <= reached:
                    used = r.amount(limit, period.counted())
                    found.append(
                        {
                            "limit_name": limit["name"],
                            "threshold_percentage": threshold,
                            "used": used,
                            "limit": limit["value"],
                            "billing_period": period.key,
                            "is_read": False,
                        }
                    )
        for alert in found:
            period.fired[alert["limit_name"]] = alert["threshold_percentage"]
        self.alerts += found
        return found

    # -- calls

    def _call(self, body: dict[str, Any], tokens: int, *, admitted: bool = False) -> Call:
        provider = p.named(self.catalogue.providers, body["provider"])
        if admitted and provider["archived"]:
            raise Refused("unknown_provider", "provider")
        model = body.get("model_used") or provider["default_model"]
        actual = body.get("actual_provider_name") or p.actual_of(provider, body.get("model_used"))
        text = p.of_text(provider)
        return Call(provider["name"], actual, model, tokens, 0, self.now, 0, text=text)

    def _track(self, body: dict[str, Any]) -> dict[str, Any]:
        tokens = body.get("tokens_input", 0) + body.get("tokens_output", 0)
        call = self._call(body, tokens)
        # A call was made as long ago in the user's time as it was by the clock.
        when = body["timestamp"] + self.ahead if "timestamp" in body else self.now
        if not self.now - GRACE <= when <= self.now + 300 * SECOND:
            raise Refused("timestamp_out_of_range", "timestamp")
        moment = min(when, self.now)
        call.units = units.taken(self.catalogue.units, body.get("units", {}), "units")
        usage = usage_of(body, call.units)
        found = self.catalogue.found(
            call.provider, call.model, moment - self.ahead, body.get("price_variant", "")
        )
        charge, priced, catalog = charged(found, usage), found.priced, None
        if "cost" in body:
            catalog, priced = charge["cost"], "caller"
            charge |= {"cost": body["cost"], "cost_input": 0, "cost_output": 0}
        cost = charge["cost"]
        call.tokens = tokens = usage.tokens_input + usage.tokens_output
        call.cost, call.how = cost, priced
        call.unpriced = charge["unpriced"]
        current = self._ensure()
        period = current
        if min(when, self.now) < current.start:
            period = self._earlier(when)
        late = period is not current
        call.reset = period.resets
        period.calls.append(call)
        alerts = [] if late else self._fire(current)
        status, late_settle = None, False
        if "hold_id" in body:
            hold = next((h for h in self.holds if h.id == body["hold_id"]), None)
            late_settle = hold is None or bool(hold.ended)
            status = "unknown" if hold is None else hold.ended or "settled"
            if hold is not None and not hold.ended:
                hold.ended = "settled"
        return {
            **charge,
            **how(found),
            "cost_catalog": catalog,
            "priced": priced,
            "tokens_used": tokens,
            "billing_period": period.key,
            "usage_status": self._status(current),
            "provider": call.provider,
            "actual_provider_name": call.actual,
            "late": late,
            "hold_status": status,
            "late_settle": late_settle,
            "alerts": len(alerts),
            "duplicate": False,
            "used_up": True,
        }

    def _earlier(self, when: int) -> Period:
        """The earlier period of a moment, which may enter the log by this."""
        for period in reversed(self.periods):
            if period is not self.current and period.start <= when < period.end:
                return period
        for period in self.periods:
            edges = [*period.slept, period.start]
            for start, end in pairwise(edges):
                if start <= when < end:
                    return self._open(start, end, period.plan)
        start, end = month(when)
        for period in self.periods:
            first = min([period.start, *period.slept])
            if first > when:
                end = min(end, first)
            if period.end <= when:
                start = max(start, period.end)
        return self._open(start, end, r.with_overrides(self.catalogue.free, {}))

    def _batch(self, body: dict[str, Any]) -> dict[str, Any]:
        results = []
        for index, event in enumerate(body["events"]):
            keyed = {**event, "event_id": event.get("event_id") or f"{body['event_id']}.{index}"}
            try:
                results.append(self.ask("track", keyed, self.now, self.ahead))
            except Refused as error:
                results.append({"error": list(error.args)})
        return {"results": results, "duplicate": False}

    def _asked(self, body: dict[str, Any]) -> tuple[Call, int, bool]:
        call = self._call(body, 0, admitted=True)
        call.units = self._units_requested(body)
        calls = body.get("calls", 1)
        call.said = {name: body[name] for name in SAID if name in body}
        call.tokens, call.cost = self._estimate(call, body.get("tokens_requested"), calls)
        call.cost = body.get("cost_requested", call.cost)
        return call, calls, "cost_requested" not in body

    def _units_requested(self, body: dict[str, Any]) -> dict[str, int]:
        said = body.get("units_requested", {})
        return units.taken(self.catalogue.units, said, "units_requested")

    def _estimate(self, call: Call, tokens: int | None, calls: int) -> tuple[int, int]:
        variant = call.said.get("price_variant", "")
        found = self.catalogue.found(call.provider, call.model, self.now, variant)
        return derived(found, usage_of(call.said, call.units), tokens, calls)

    def _enforce(self, body: dict[str, Any]) -> dict[str, Any]:
        call, calls, _ = self._asked(body)
        return self._judge(call, calls)

    def _preflight(self, body: dict[str, Any]) -> dict[str, Any]:
        before: list[tuple[Call, int]] = []
        replies, found = [], []
        for operation in body["operations"]:
            call, calls, derived = self._asked(operation)
            verdict = self._judge(call, calls, before)
            replies.append(verdict)
            if not verdict["allowed"]:
                break
            before.append((call, calls))
            found.append((call, calls, derived))
        ok = replies[-1]["allowed"]
        if ok and "hold" in body:
            self._ensure()
            key, ttl = body["hold"]["event_id"], body["hold"].get("ttl", 60)
            for index, (call, calls, derived) in enumerate(found):
                expires = self.now + ttl * SECOND
                self.holds.append(Hold(f"{key}.{index}", call, calls, expires, derived))
        return {
            "allowed": ok,
            "reason_code": replies[-1]["reason_code"],
            "failed_index": None if ok else len(replies) - 1,
            "operations": replies,
            "duplicate": False,
            "used_up": ok and "hold" in body,
        }

    def _hold(self, body: dict[str, Any]) -> dict[str, Any]:
        call, calls, derived = self._asked(body)
        verdict = self._judge(call, calls)
        held = verdict["allowed"]
        expires = self.now + body.get("ttl", 60) * SECOND
        if held:
            self._ensure()
            self.holds.append(Hold(body["event_id"], call, calls, expires, derived))
        about = {"hold_id": body["event_id"], "expires_at": expires} if held else {}
        empty = {"hold_id": None, "expires_at": None}
        return {**verdict, **empty, **about, "duplicate": False, "used_up": held}

    def _extend(self, body: dict[str, Any]) -> dict[str, Any]:
        hold = self._open_hold(body["hold_id"])
        call = copy.copy(hold.call)
        if "units_requested" in body:
            call.units = self._units_requested(body)
        if {"tokens_requested", "units_requested"} & body.keys():
            wanted = body.get("tokens_requested", call.tokens)
            call.tokens, cost = self._estimate(call, wanted, hold.calls)
            if hold.derived:
                call.cost = cost
        call.cost = body.get("cost_requested", call.cost)
        grown = call.tokens > hold.call.tokens or call.cost > hold.call.cost
        verdict = self._judge(call, hold.calls, None, hold)
        if not grown:
            verdict.update(allowed=True, reason_code="within_limits", violated=[])
        if verdict["allowed"]:
            hold.call, hold.derived = call, hold.derived and "cost_requested" not in body
            if "ttl" in body:
                hold.expires = self.now + body["ttl"] * SECOND
        about = {"hold_id": hold.id, "expires_at": hold.expires, "duplicate": False}
        return {**verdict, **about, "used_up": verdict["allowed"]}

    def _open_hold(self, hold_id: str) -> Hold:
        found = [hold for hold in self.holds if hold.id == hold_id and not hold.ended]
        if not found:
            raise Refused("unknown_hold", "hold_id")
        return found[0]

    def _release(self, body: dict[str, Any]) -> dict[str, Any]:
        self._open_hold(body["hold_id"]).ended = "released"
        return {"released": True, "duplicate": False, "used_up": True}

    def _holds(self, _: dict[str, Any]) -> dict[str, Any]:
        found = [hold for hold in self.holds if not hold.ended]
        return {
            "holds": [(h.id, h.calls, h.call.tokens, h.call.cost, h.expires) for h in found],
            "units": [h.call.units for h in found],
        }

    def _reset(self, _: dict[str, Any]) -> dict[str, Any]:
        period = self._seen()
        if not period.counted():
            return {"reset": False, "billing_period": period.key}
        period.resets += 1
        period.fired = {}
        return {"reset": True, "billing_period": period.key, "used_up": True}
