"""A database as a meterd left it when it was killed, and all that this meterd says of it.

Before a migration is added, ``python -m tests.golden.released`` writes ``databases/N.json`` of
the schema until then: every later meterd must say the same of it. Only what has been there
for long is used of the rig, so that the module runs beside older sources too.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from actors.edge import ownership
from messages.stored.form import FORM
from persistence.sqlite.journal import SQLiteJournal
from tests.support.meter import micros
from tests.support.rig import Rig

DATABASES: Final = Path(__file__).with_name("databases")
SETTINGS: Final = {"snapshot_events": 4, "live_users_max": 3}
USERS: Final = ("alice", "bob", "carol", "dora", "eve", "x@y ü")
PERIODS: Final = ("2025-12", "2026-01", "2026-02", "2026-03", "2026-04")
PERSONAL: Final = {
    "user_agent": 'a "b"',
    "ip_address": "::1",
    "error_message": "ö\u2028\\",
    "metadata": {"team": "a"},
}
STEP: Final = 1_234_567
"""Microseconds between two requests."""

Asked = tuple[str, str, dict[str, Any], Any]
"""A verb, for whom (nobody: the catalogue), the body and the reply."""


async def ask(rig: Rig, verb: str, user: str, body: dict[str, Any]) -> Any:
    """The reply to one request."""
    found = await (rig.ask(verb, user, **body) if user else rig.catalog(verb, **body))
    return found.body


class Story:
    """What happens to the users before the end; every change has a key."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.changes: list[Asked] = []

    async def do(self, verb: str, user: str, **body: Any) -> Any:
        self.rig.clock.at += STEP
        key = f"k{len(self.changes)}"
        if verb == "preflight":
            body["hold"] = {"ttl": 3_600, "event_id": key}
        else:
            body["event_id"] = key
        reply = await ask(self.rig, verb, user, body)
        assert "error" not in reply, (verb, user, body, reply)
        self.changes.append((verb, user, body, reply))
        return reply

    async def tell(self) -> None:
        for month, part in enumerate((self._begin, self._renew, self._go_on), 1):
            await part()
            await self._calls(f"2026-{month:02}")
            await self._late(month)
            await self.do("reset", ("carol", "alice", "bob")[month - 1], reason="ü")
            if month > 1:
                await self._holds()
        self.rig.clock.at = micros("2026-04-20T00:00:00Z")  # January and February are sealed
        await self._calls("2026-04")
        await self._passivate()
        for user in USERS:  # behind the snapshots
            await self.do("track", user, provider="exa")
            await self.do("hold", user, provider="exa", ttl=86_400)

    async def _begin(self) -> None:
        self.rig.clock.at = micros("2026-01-10T08:00:00Z")
        terms = {"price_monthly": 12.5, "price_yearly": 120, "features": ["x"]}
        limits = {"openai_calls": 5, "gemini_cost": 0.01, "monthly_cost": 3}
        await self.do("plans.put", "", name="Own", tier="pro", limits=limits, **terms)
        price: dict[str, Any] = {"provider": "openai", "cost_per_input_token": 0.000002}
        await self.do("prices.put", "", model="gpt-4o-mini", cost_per_request=0.01, **price)
        then = "2025-12-01T00:00:00Z"
        await self.do("prices.put", "", model="new", effective_from=then, **price)
        await self.do("units.put", "", id="gpu_seconds", scale=3)
        later = {"model": "new", "effective_from": "2027-01-01T00:00:00Z"}
        await self.do("prices.put", "", **price, **later)
        await self.do("prices.cancel", "", provider="openai", **later)
        await self.do("providers.put", "", id="rack", kind="llm", aliases=["Our Rack"])
        plan: dict[str, Any] = {"plan": "Pro", "billing_cycle": "monthly"}
        own = {"openai_calls": 6, "monthly_cost": 2}
        await self.do("subscribe", "bob", overrides=own, **plan)
        plan |= {"billing_cycle": "yearly", "auto_renew": False}
        await self.do("subscribe", "carol", period_start="2025-12-31T10:00:00Z", **plan)
        await self.do("subscribe", "dora", plan="Own", billing_cycle="monthly")
        await self.do("suspend", "dora", reason="unpaid")

    async def _renew(self) -> None:
        self.rig.clock.at = micros("2026-02-12T00:00:00Z")
        terms = {"price_monthly": 13, "price_yearly": 121, "features": []}
        await self.do("plans.put", "", name="Own", tier="pro", limits={"openai_calls": 7}, **terms)
        price = {"provider": "exa", "model": "exa-search", "cost_per_request": 0.009}
        await self.do("prices.put", "", **price)
        await self.do("units.archive", "", id="gpu_seconds")
        await self.do("units.put", "", id="gpu_seconds", name="Seconds of a GPU")
        await self.do("providers.archive", "", id="rack")
        await self.do("resume", "dora")
        await self.do("cancel", "dora")
        await self.do("subscribe", "bob", plan="Own", billing_cycle="monthly", period="keep")

    async def _go_on(self) -> None:
        self.rig.clock.at = micros("2026-03-15T00:00:00Z")
        await self.do("cancel", "bob", at_period_end=False)
        alerts = await ask(self.rig, "alerts", "alice", {})
        await self.do("ack", "alice", ids=[alerts["alerts"][-1]["id"]])

    async def _calls(self, name: str) -> None:
        cached = {"tokens_cache_read": 10, "tokens_cache_write": 0, "tokens_reasoning": 3}
        failed = {"status_code": 500, "response_time": 1.25, "retry_count": 2, "method": "GET"}
        units = {"units": {"gpu_seconds": 0.125, "annotated_pages": 4}}
        calls: list[dict[str, Any]] = [
            {"provider": "openai", "tokens_input": 900, "tokens_output": 70} | cached,
            {"provider": "openai", "model_used": "new", "tokens_input": 5, "endpoint": f"/{name}"},
            {"provider": "gemini", "model_used": "unheard-of", "tokens_output": 9} | failed,
            {"provider": "huggingface", "tokens_input": 7, "model_used": "estimated"} | PERSONAL,
            {"provider": "exa", "cost": 0.25, "search_count": 2, "request_size": 0},
            {"provider": "video", "model_used": "wan-2.5", "image_count": 0, "response_size": 3},
            {"provider": "firecrawl", "page_count": 4, "actual_provider_name": "own"} | units,
        ]
        for number, user in enumerate(USERS):
            for call in calls[number % 3 :: 2]:
                await self.do("track", user, **call)
        events = [calls[0], {"provider": "nobody"}, calls[4] | {"event_id": f"in {name}"}]
        await self.do("batch", "eve", events=events)
        for _ in range(2):
            await self.do("batch", "alice", events=[{"provider": "tavily"}] * 4)  # has 10 a month

    async def _holds(self) -> None:
        ask = {"provider": "openai", "tokens_requested": 50}
        operations = [{"provider": "exa", "operation_type": "a"}, {"provider": "serper"}]
        for user in ("carol", "eve", "x@y ü"):
            short = await self.do("hold", user, provider="gemini", ttl=1)
            kept = await self.do("hold", user, provider="exa", tokens_requested=50, ttl=60)
            await self.do("preflight", user, operations=operations)
            ended = await self.do("hold", user, provider="serper", ttl=60)
            await self.do("release", user, hold_id=ended["hold_id"])
            await self.do("extend", user, hold_id=kept["hold_id"], ttl=86_400, cost_requested=0.01)
            settled = await self.do("hold", user, provider="serper", ttl=60)
            await self.do("track", user, provider="exa", hold_id=settled["hold_id"])
            await self.do("track", user, provider="exa", hold_id=short["hold_id"])  # expired
        await self.do("hold", "alice", **ask)  # refused: disabled in this plan

    async def _late(self, month: int) -> None:
        for user in ("alice", "bob", "eve"):
            moment = f"2026-{month - 1:02}-25T00:00:00Z" if month > 1 else "2025-12-25T00:00:00Z"
            await self.do("track", user, provider="exa", timestamp=moment, cost=0.5)

    async def _passivate(self) -> None:
        await self.rig.idle()
        self.rig.seconds += 10_000
        self.rig.registry.passivate()
        await self.rig.idle()


async def read_all(rig: Rig) -> list[Asked]:
    """All that is said of the users, which a new period may be opened for."""
    asks: list[tuple[str, str, dict[str, Any]]] = [
        ("plans.list", "", {}),
        ("prices.list", "", {"provider": "openai"}),
        ("prices.list", "", {"provider": "exa"}),
        *[("users.list", "", {"billing_period": period}) for period in PERIODS],
    ]
    for user in USERS:
        asks += [(verb, user, {}) for verb in ("holds", "subscription", "alerts")]
        asks += [("stats", user, {"billing_period": period}) for period in PERIODS[1:]]
        asks += [("dashboard", user, {}), ("trends", user, {"months": 8})]
        asks += [("logs", user, {"limit": 10}), ("logs", user, {"provider": "exa", "limit": 4})]
        asks += [("logs", user, {"billing_period": PERIODS[2], "limit": 6})]
        asks += [("enforce", user, {"provider": name}) for name in ("openai", "exa")]
    return [(*one, await ask(rig, *one)) for one in asks]


async def freeze() -> dict[str, Any]:
    """A database that was left by a crash, and what is said of it afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        journal = await SQLiteJournal.open(Path(directory), FORM)
        rig = await Rig.start(journal, **SETTINGS)  # type: ignore[arg-type]
        story = Story(rig)
        await story.tell()
        await rig.idle()
        with closing(sqlite3.connect(Path(directory, "meterd.db"))) as db:
            script = list(db.iterdump())
            ((application, version),) = db.execute(
                "SELECT * FROM pragma_application_id, pragma_user_version"
            ).fetchall()
            script += [
                f"PRAGMA application_id = {application};",
                f"PRAGMA user_version = {version};",
            ]
        rig = await rig.restart(**SETTINGS)
        found = await read_all(rig)
        await rig.stop()
        await journal.close()
    return {
        "schema": version,
        "at": rig.clock.at,
        "database": script,
        "changes": story.changes,
        "answers": found,
    }


def _lines(values: list[Any]) -> str:
    texts = [json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values]
    return "[\n" + ",\n".join(texts) + "\n]"


def main() -> None:
    ownership.CLAIM_S = 0  # type: ignore[misc]  # older sources wait for it
    frozen = asyncio.run(freeze())
    lines = [
        f"{json.dumps(name)}: {_lines(value) if isinstance(value, list) else value}"
        for name, value in frozen.items()
    ]
    text = "{\n" + ",\n".join(lines) + "\n}"
    target = Path(sys.argv[1] if len(sys.argv) > 1 else DATABASES)
    (target / f"{frozen['schema']}.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main()
