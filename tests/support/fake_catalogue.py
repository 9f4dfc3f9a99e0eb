"""A catalogue that takes prices and providers as contract 1.1 says: what imports are put into."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from actors.cli.importer.pricelists.providers import BUILTIN
from messages.codec import encode_reply
from messages.errors import RequestError

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
PER_PAGE = 500


class Catalogue:
    """A catalogue that takes what contract 1.1 says, and answers as it does."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now
        self.rows: list[dict[str, Any]] = []
        self.providers: list[dict[str, Any]] = [
            {"id": name, "aliases": list(one.aliases)} for name, one in BUILTIN.items()
        ]
        self.moments: dict[Any, list[datetime]] = defaultdict(list)
        self.keys: set[str] = set()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.refuses: dict[str, str] = {}
        self.in_flight = self.most_in_flight = 0

    async def ask(self, what: str, body: dict[str, Any]) -> bytes:
        """As `UsageClient.request_catalog`."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        return encode_reply(self.answer(what, body))

    def answer(self, what: str, body: dict[str, Any]) -> Any:
        """The reply to ``prices.put`` and its like."""
        self.asked.append((what, body))
        return getattr(self, "_" + what.replace(".", "_"))(body)

    def answer_at(self, subject: str, body: dict[str, Any]) -> Any:
        """The reply to a request on a subject, whose moments are text."""
        if "effective_from" in body:
            moment = datetime.fromisoformat(body["effective_from"])
            body = {**body, "effective_from": moment}
        return self.answer(subject.partition(".catalog.")[2], body)

    def _prices_list(self, body: dict[str, Any]) -> Any:
        start = int(body.get("cursor") or 0)
        following = start + PER_PAGE
        return {
            "prices": self.rows[start:following],
            "next_cursor": str(following) if following < len(self.rows) else None,
        }

    def _providers_list(self, body: dict[str, Any]) -> Any:
        return {"providers": self.providers}

    def _providers_put(self, body: dict[str, Any]) -> Any:
        taken = {n for one in self.providers for n in (one["id"], *one.get("aliases", ()))}
        assert not taken & {body["id"], *body.get("aliases", ())}
        self.providers.append(body)
        return {}

    def _prices_put(self, body: dict[str, Any]) -> Any:
        if body["model"] in self.refuses:
            raise RequestError(self.refuses[body["model"]], "no")
        assert body["provider"] in {one["id"] for one in self.providers}
        assert body["event_id"] not in self.keys
        self.keys.add(body["event_id"])
        since = body.get("effective_from", self.now)
        key = (body["provider"], body["model"], body.get("variant", ""))
        begun = [one for one in self.moments[key] if one <= since]
        self.moments[key].append(since)
        assert since >= self.now or not begun, "something was in force then"
        row = {k: v for k, v in body.items() if k != "event_id"}
        version = len(self.rows) + 1
        self.rows.append({**row, "variant": key[2], "effective_from": since, "version": version})
        return {}
