"""The commands of the catalogue, and what a terminal of 80 columns shows."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console, RenderableType

from actors.cli import shelves, views
from actors.cli.shares import used_of
from messages.admission import Held, HoldEntry, HoldsReply, LimitState
from messages.catalog import (
    Detect,
    PlanEntry,
    PlanPutReply,
    PlansReply,
    ProviderArchivedReply,
    ProviderEntry,
    ProviderPutReply,
    ProvidersReply,
    UserEntry,
    UsersReply,
)
from messages.codec import decoder_of
from messages.prices import UnpricedEntry, UnpricedReply
from messages.reports import NamedUsage, PlanLimits
from tests.support.answers import NOW, REFUSED, STATS
from tests.support.command_line import Serve, run

PLAN: dict[str, Any] = {
    "name": "Team",
    "tier": "team",
    "price_monthly": 20.000000001,
    "price_yearly": 200,
    "limits": {"openai_calls": 7},
    "features": [],
}


def entry(name: str, cost: int | None) -> UserEntry:
    if cost is None:
        return UserEntry(user_id=name)
    return UserEntry(user_id=name, total_calls=-cost, total_tokens=1, total_cost=Decimal(cost))


def answer_users(_: str, body: dict[str, Any]) -> UsersReply:
    """2,500 users, whose costs go up and down; one of them cannot be read."""
    start = int(body.get("cursor", "0"))
    last = min(start + body["limit"], 2_500)
    users = [entry(f"u{n:04}", None if n == 3 else n * 7 % 2_500) for n in range(2_500)]
    if body.get("sort") == "cost":
        users.sort(key=lambda user: -1 if user.total_cost is None else user.total_cost)
        users.reverse()
    users = users[start:last]
    cursor = None if last == 2_500 else str(last)
    return UsersReply(users=tuple(users), next_cursor=cursor, seq=last)


def test_users_by_cost_are_ranked_by_the_service(serve: Serve) -> None:
    service = serve(answer_users)
    found = json.loads(run("users", "--sort", "cost", "--limit", "4", "--prefix", "u").stdout)
    assert [user["total_cost"] for user in found["users"]] == [2499, 2498, 2497, 2496]
    ((_, body),) = service.asked
    assert [body[name] for name in ("sort", "prefix", "limit")] == ["cost", "u", 4]


def test_more_ranked_users_than_a_page_has_come_in_the_order_of_all(serve: Serve) -> None:
    service = serve(answer_users)
    found = json.loads(run("users", "--sort", "cost", "--limit", "1500").stdout)
    assert [user["total_cost"] for user in found["users"]] == list(range(2_499, 999, -1))
    assert [body["limit"] for _, body in service.asked] == [1_000, 1_000]


def test_without_an_order_the_request_is_one_that_any_service_knows(serve: Serve) -> None:
    service = serve(answer_users)
    assert run("users", "--sort", "id", "--limit", "1").exit_code == 0
    assert "sort" not in service.asked[0][1]


def test_users_by_id_are_read_no_further_than_the_limit(serve: Serve) -> None:
    service = serve(answer_users)
    found = json.loads(run("users", "--limit", "4").stdout)
    assert [user["user_id"] for user in found["users"]] == ["u0000", "u0001", "u0002", "u0003"]
    assert [body["limit"] for _, body in service.asked] == [4]


def unpriced_model(number: int, **fields: Any) -> UnpricedEntry:
    values: dict[str, Any] = {
        "provider": "openai",
        "model": f"m{number}",
        "variant": "",
        "how": "estimate",
        "calls": 1_000_000 - number,
        "tokens": 1_500,
        "cost": Decimal("0.0045"),
        "users": 2,
        "users_capped": False,
        "first_seen": NOW,
        "last_seen": NOW,
    }
    return UnpricedEntry(**{**values, **fields})


def answer_unpriced(_: str, body: dict[str, Any]) -> UnpricedReply:
    """2,500 models."""
    start = int(body.get("cursor", "0"))
    last = min(start + body["limit"], 2_500)
    rows = tuple(unpriced_model(number) for number in range(start, last))
    cursor = None if last == 2_500 else str(last)
    return UnpricedReply(rows=rows, next_cursor=cursor, complete_since=None, unread=0, seq=9)


def test_unpriced_models_are_read_page_by_page_up_to_the_limit(serve: Serve) -> None:
    service = serve(answer_unpriced)
    done = run("prices", "unpriced", "--limit", "1500", "--since", "2026-03-01T00:00:00Z")
    found = json.loads(done.stdout)
    assert [row["model"] for row in found["rows"]] == [f"m{n}" for n in range(1_500)]
    assert [(subject, body["limit"], body["since"]) for subject, body in service.asked] == [
        ("usage.v1.catalog.prices.unpriced", limit, "2026-03-01T00:00:00Z")
        for limit in (1_000, 500)
    ]
    assert found["next_cursor"] == "1500"
    assert json.loads(run("prices", "unpriced", "--limit", "3").stdout)["rows"] == found["rows"][:3]


def test_a_table_of_unpriced_models_says_what_it_lacks() -> None:
    rows = (
        unpriced_model(1),
        unpriced_model(2, variant="batch", users=250_000, users_capped=True, how="undated"),
    )
    reply = UnpricedReply(rows=rows, next_cursor=None, complete_since=None, unread=0, seq=1)
    shown = at_80(shelves.unpriced(reply))
    for text in ("m1", "999,999", "1,500", "0.0045", "m2 (batch)", "undated", "250,000+"):
        assert text in shown
    assert "looked at" not in shown
    assert "cannot be read" not in shown
    incomplete = msgspec.structs.replace(reply, complete_since=NOW, unread=2)
    shown = at_80(shelves.unpriced(incomplete))
    assert "were not looked at" in shown
    assert "2 rows of the log cannot be read" in shown


def test_a_listed_plan_can_be_put_again_to_the_last_digit(serve: Serve, tmp_path: Path) -> None:
    fields: dict[str, Any] = {**PLAN, "price_monthly": Decimal("20.000000001")}
    plan = PlanEntry(**fields, version=3)

    def answer(subject: str, _: dict[str, Any]) -> object:
        if subject.endswith(".list"):
            return PlansReply(plans=(plan,), next_cursor=None, version=3, seq=3)
        return PlanPutReply(plan=plan, version=4, event_id="k", seq=4)

    service = serve(answer)
    listed = run("plans").stdout
    assert listed == run("plans", "list").stdout
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(json.loads(listed)["plans"][0], indent=2))
    done = run("plans", "put", str(file))
    assert done.exit_code == 0, done.stderr
    subject, body = service.asked[-1]
    assert subject == "usage.v1.catalog.plans.put"
    assert {name: body[name] for name in PLAN} == PLAN
    assert "version" not in body


def provider_entry(name: str, **fields: Any) -> ProviderEntry:
    found: dict[str, Any] = {
        "id": name,
        "name": name,
        "kind": "llm",
        "default_model": "llama",
        "aliases": (f"{name}.local",),
        "served_by": "rack 4",
        "detect": (Detect(actual="rack 5", model=["*-70b"]),),
        "groups": ("ai_text_generation",),
        "unpriced": "zero",
        "token_counting": "exclusive",
        "builtin": False,
        "archived": False,
        "registered": False,
        "version": 3,
    }
    return ProviderEntry(**{**found, **fields})


def test_all_pages_of_providers_are_listed_with_their_state(serve: Serve) -> None:
    pages = [
        (provider_entry("vllm"), provider_entry("old", archived=True)),
        (provider_entry("new", registered=True),),
    ]

    def answer(_: str, body: dict[str, Any]) -> ProvidersReply:
        place = int(body.get("cursor", "0"))
        cursor = "1" if place == 0 else None
        return ProvidersReply(providers=pages[place], next_cursor=cursor, version=3, seq=3)

    serve(answer)
    listed = json.loads(run("providers").stdout)["providers"]
    assert [entry["id"] for entry in listed] == ["vllm", "old", "new"]
    rows = at_80(
        shelves.providers(
            ProvidersReply(providers=(*pages[0], *pages[1]), next_cursor=None, version=3, seq=3)
        )
    ).splitlines()
    assert [row.rpartition("local")[2].strip() for row in rows if "local" in row] == [
        "",
        "archived",
        "named by a call",
    ]


def test_a_listed_provider_can_be_put_again_and_archived(serve: Serve, tmp_path: Path) -> None:
    entry = provider_entry("vllm")

    def answer(subject: str, _: dict[str, Any]) -> object:
        if subject.endswith(".list"):
            return ProvidersReply(providers=(entry,), next_cursor=None, version=3, seq=3)
        if subject.endswith(".put"):
            return ProviderPutReply(provider=entry, version=4, event_id="k", seq=4)
        return ProviderArchivedReply(id="vllm", archived=True, version=5, event_id="k", seq=5)

    service = serve(answer)
    listed = json.loads(run("providers").stdout)["providers"]
    file = tmp_path / "provider.json"
    file.write_text(json.dumps(listed))
    done = run("providers", "put", str(file))
    assert done.exit_code == 0, done.stderr
    subject, body = service.asked[-1]
    assert subject == "usage.v1.catalog.providers.put"
    decoder_of("catalog.providers.put")(json.dumps(body).encode())
    assert {name: body[name] for name in listed[0]} == listed[0]
    done = run("providers", "archive", "vllm")
    assert (done.exit_code, service.asked[-1][1]["id"]) == (0, "vllm")


def test_what_no_breakdown_has_is_worked_out_of_its_percentage() -> None:
    limits = {"ai_text_generation_calls": 20, "far_calls": 200, "far_cost": 8, "vllm_calls": 9}
    reply = msgspec.structs.replace(
        STATS,
        limits=PlanLimits("Pro", "pro", dict(limits), ()),
        provider_breakdown={
            "openai": NamedUsage(3, 30, Decimal(1), {}),
            "vllm": NamedUsage(2, 5, Decimal("0.5"), {}),
            "other": NamedUsage(90, 5, Decimal("0.5"), {}),
        },
        usage_percentages=dict(zip(limits, (25.0, 1.5, 12.5, 22.2222), strict=True)),
    )
    assert [used_of(name, reply) for name in limits] == [5, 3, 1, 2]


@pytest.mark.parametrize("text", ["[3]", '"plan"', "{nonsense", ""])
def test_a_file_that_is_no_plan_is_one_sentence(serve: Serve, tmp_path: Path, text: str) -> None:
    service = serve(lambda *_: STATS)
    file = tmp_path / "plan.json"
    file.write_text(text)
    done = run("plans", "put", str(file))
    assert (done.exit_code, service.asked) == (2, []), done.output
    assert done.stderr.count("\n") == 1


def at_80(view: RenderableType) -> str:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(view)
    shown = capture.get()
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    return shown


def limit_of(name: str, limit: int) -> LimitState:
    return LimitState(name, "calls", "billing_period", "hard", limit, 1, 2, 3, limit - 3, 0.1, NOW)


@pytest.mark.parametrize("limit", [2_500, 10**18])
def test_names_and_numbers_of_limits_are_whole_at_80_columns(limit: int) -> None:
    names = ("openai_calls", "openai_tokens", "ai_text_generation_calls")
    limits = tuple(limit_of(name, limit) for name in names)
    reply = msgspec.structs.replace(REFUSED, allowed=True, violated=(), limits=limits)
    words = at_80(views.decided(reply)).split()
    for name in names:
        assert name in words
    assert words.count(f"{limit:,}") == words.count(f"{limit - 3:,}") == 3


def test_a_table_that_does_not_fit_keeps_every_character() -> None:
    table = views.grid("user", "plan", "key")
    table.add_row("u" * 128, "Pro", "k" * 200)
    shown = at_80(table)
    assert (shown.count("u"), shown.count("k") - len("key") + 2) == (128, 200)


def test_stats_has_used_held_and_left_of_each_limit() -> None:
    limits = {"openai_calls": 10, "ai_text_generation_calls": 20, "wavespeed_calls": 4}
    limits |= {"monthly_cost": 5}
    reply = msgspec.structs.replace(
        STATS,
        total_cost=Decimal("1.5"),
        limits=PlanLimits("Pro", "pro", dict(limits), ()),
        provider_breakdown={
            "openai": NamedUsage(3, 30, Decimal(1), {}),
            "gemini": NamedUsage(1, 5, Decimal("0.5"), {}),
        },
        actual_provider_breakdown={},
        usage_percentages=dict(zip(limits, (30.0, 20.0, 25.0, 30.0), strict=True)),
        held=Held(2, 9, Decimal("0.25"), 1),
    )
    hold = HoldEntry(
        hold_id="h",
        provider="openai",
        actual_provider_name="wavespeed",
        model_used="m",
        calls=2,
        tokens=9,
        cost=Decimal("0.25"),
        created_at=NOW,
        expires_at=NOW + timedelta(seconds=60),
        key=None,
        tags=None,
        units={},
    )
    holds = HoldsReply(holds=(hold,), held=reply.held, seq=1)
    rows = {
        line.split()[0]: line.split()[1:5]
        for line in at_80(views.summary(reply, holds)).splitlines()
        if line
    }
    assert rows["openai_calls"] == ["3", "2", "10", "5"]
    assert rows["ai_text_generation_calls"] == ["4", "2", "20", "14"]
    assert rows["wavespeed_calls"] == ["1", "2", "4", "1"]
    assert rows["monthly_cost"] == ["1.5", "0.25", "5", "3.25"]
    unknown = at_80(views.summary(reply))  # whose role may not ask for holds
    assert "?" in unknown


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 calls"), (1, "1 call"), (2_000, "2,000 calls")]
)
def test_one_of_a_thing_has_no_plural(number: int, text: str) -> None:
    assert views.counted(number, "call") == text
