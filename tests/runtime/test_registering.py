"""Calls that are the first to name a provider: ``METERD_UNKNOWN_PROVIDERS``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.billing.catalog.defaults import default_catalog
from actors.billing.catalog.providers import REGISTERED_MAX
from messages.stored.form import FORM
from persistence.sqlite.journal import SQLiteJournal
from tests.support.data import verified
from tests.support.faults import Fault
from tests.support.rig import Logs, Rig, Start

REGISTER = "register"


async def others(rig: Rig) -> list[tuple[str, bool]]:
    """Those beyond a fresh service's, and whether a call was the first to name them."""
    found: list[tuple[str, bool]] = []
    cursor = None
    while True:
        page = (await rig.catalog("providers.list", cursor=cursor)).body
        found += [(each["id"], each["registered"]) for each in page["providers"]]
        cursor = page["next_cursor"]
        if cursor is None:
            shipped = {provider.id for provider in default_catalog().providers.all}
            return [each for each in found if each[0] not in shipped]


def stored(rig: Rig) -> list[str]:
    """The kinds of the rows of the log, in order."""
    return [row.kind for row in rig.inner._rows if row.kind != "period_rolled"]


async def test_a_call_to_a_new_provider_stores_it_first(start: Start, lines: Logs) -> None:
    rig = await start(unknown_providers=REGISTER)
    reply = (await rig.ask("track", provider="vllm", tokens_input=1_000_000)).body
    assert (reply["provider"], reply["actual_provider_name"]) == ("vllm", "vllm")
    assert (reply["priced"], reply["cost"]) == ("estimate", 1.0)
    assert stored(rig) == ["provider", "usage"]
    assert await others(rig) == [("vllm", True)]
    (line,) = [line for line in lines if line["event"] == "provider_registered"]
    assert line["provider"] == "vllm"
    await rig.ask("track", provider="vllm")
    assert stored(rig) == ["provider", "usage", "usage"]
    rig = await rig.restart()  # with the default setting: it is known
    assert (await rig.ask("track", provider="vllm")).code == ""
    assert (await rig.ask("track", provider="nobody")).code == "unknown_provider"
    assert (await rig.catalog("providers.put", id="vllm")).code == ""
    assert await others(rig) == [("vllm", False)]


async def test_nobody_registers_a_provider_by_default(rig: Rig) -> None:
    for verb in ("track", "enforce", "hold"):
        assert (await rig.ask(verb, provider="vllm")).code == "unknown_provider"
    body = (await rig.ask("batch", events=[{"provider": "vllm"}, {"provider": "exa"}])).body
    assert (body["accepted"], body["rejected"]) == (1, 1)
    assert stored(rig) == ["usage"]


@pytest.mark.parametrize("name", ["A", "", "a b", "x_calls", "other", "monthly", "a" * 65, "é"])
async def test_a_name_that_no_provider_may_have_is_unknown(start: Start, name: str) -> None:
    rig = await start(unknown_providers=REGISTER)
    assert (await rig.ask("track", provider=name)).code == "unknown_provider"
    assert (await rig.ask("enforce", provider=name)).code == "unknown_provider"
    body = (await rig.ask("batch", events=[{"provider": name}, {"provider": "exa"}])).body
    assert (body["accepted"], body["rejected"]) == (1, 1)
    assert await others(rig) == []


async def test_what_admits_calls_registers_none_and_answers_as_without_prices_and_limits(
    start: Start,
) -> None:
    rig = await start(unknown_providers=REGISTER)
    enforced = (await rig.ask("enforce", provider="vllm", tokens_requested=1_000)).body
    assert (enforced["allowed"], enforced["provider"]) == (True, "vllm")
    assert [(x["name"], x["requested"]) for x in enforced["limits"]] == [("monthly_cost", 0.001)]
    held = (await rig.ask("hold", provider="vllm", tokens_requested=5, event_id="h")).body
    assert held["allowed"]
    both = [{"provider": "vllm"}, {"provider": "second"}]
    assert (await rig.ask("preflight", operations=both)).body["allowed"]
    estimated = (await rig.catalog("estimate.cost", provider="vllm", tokens_input=10**6)).body
    assert (estimated["cost"], estimated["priced"]) == (1.0, "estimate")
    assert await others(rig) == []
    refused = await rig.catalog("prices.put", provider="vllm", model="m", cost_per_request=1)
    assert refused.code == "unknown_provider"
    rig = await rig.restart(unknown_providers=REGISTER)
    assert (await rig.ask("hold", provider="vllm", tokens_requested=5, event_id="h")).body == {
        **held,
        "duplicate": True,
    }
    settled = (await rig.ask("track", provider="vllm", hold_id="h")).body
    assert settled["hold_status"] == "settled"
    assert await others(rig) == [("vllm", True)]


async def test_first_calls_at_once_store_a_provider_once(start: Start) -> None:
    rig = await start(unknown_providers=REGISTER)
    await rig.ask("track", "warm", provider="exa")
    rig.journal.appends.close()
    users = [f"user {number}" for number in range(20)]
    sent = [rig.send("track", user, provider="vllm") for user in users]
    again = [rig.send("track", users[0], provider="vllm") for _ in range(3)]
    events = [{"provider": name} for name in ("vllm", "second", "second", "vllm", "exa")]
    batch = rig.send("batch", "bob", events=events)
    other = rig.send("track", "somebody else", provider="exa")
    rig.journal.appends.open()
    answers = await rig.answers(*sent, *again, batch, other)
    assert all(answer.code == "" for answer in answers)
    assert (await rig.answer(batch)).body["accepted"] == 5
    assert stored(rig).count("provider") == 2
    assert await others(rig) == [("vllm", True), ("second", True)]


async def test_a_known_key_gets_its_reply_without_a_look_at_the_provider(start: Start) -> None:
    rig = await start(unknown_providers=REGISTER)
    first = (await rig.ask("track", provider="vllm", event_id="k")).body
    assert (await rig.ask("track", provider="vllm", event_id="k")).body["duplicate"]
    mismatch = await rig.ask("track", provider="nobody", event_id="k")
    assert mismatch.code == "idempotency_mismatch"
    body = (await rig.ask("batch", events=[{"provider": "nobody", "event_id": "k"}])).body
    assert body["results"][0]["error"]["code"] == "idempotency_mismatch"
    assert await others(rig) == [("vllm", True)]
    rig = await rig.restart()
    again = (await rig.ask("track", provider="vllm", event_id="k")).body
    assert again == {**first, "duplicate": True}


async def test_at_most_a_thousand_are_registered_until_they_are_put(start: Start) -> None:
    rig = await start(unknown_providers=REGISTER)
    events = [{"provider": f"host-{number}"} for number in range(1_000)]
    await rig.ask("track", provider="first")
    body = (await rig.ask("batch", events=events)).body
    assert (body["accepted"], body["rejected"]) == (REGISTERED_MAX - 1, 1)
    assert body["results"][-1]["error"]["code"] == "unknown_provider"
    for verb in ("track", "enforce", "hold"):
        assert (await rig.ask(verb, provider="one-more")).code == "unknown_provider"
    rig = await rig.restart(unknown_providers=REGISTER)
    assert len(await others(rig)) == REGISTERED_MAX
    assert (await rig.ask("track", provider="one-more")).code == "unknown_provider"
    assert (await rig.ask("track", provider="host-0")).code == ""
    await rig.catalog("providers.put", id="host-0")
    assert (await rig.ask("track", provider="one-more")).code == ""
    assert (await rig.ask("track", provider="two-more")).code == "unknown_provider"


@pytest.mark.parametrize(
    "fault", [Fault.NOT_STORED, Fault.UNKNOWN_BUT_STORED, Fault.UNKNOWN_AND_LOST]
)
@pytest.mark.parametrize("verb", ["track", "batch"])
async def test_a_failed_write_of_the_provider_refuses_the_call_which_may_be_repeated(
    start: Start, fault: Fault, verb: str
) -> None:
    rig = await start(unknown_providers=REGISTER)
    body: dict[str, Any] = {"provider": "vllm", "event_id": "k"}
    sent = body if verb == "track" else {"events": [body], "event_id": "b"}
    rig.journal.fail_appends(fault)
    assert (await rig.ask(verb, **sent)).code == "unavailable"
    await rig.idle()
    assert "usage" not in stored(rig)
    reply = (await rig.ask(verb, **sent)).body
    assert "error" not in reply
    assert reply["duplicate"] is False
    assert stored(rig).count("provider") == 1
    assert await others(rig) == [("vllm", True)]


async def test_a_crash_between_the_provider_and_its_call_leaves_a_provider_without_calls(
    start: Start,
) -> None:
    rig = await start(unknown_providers=REGISTER)
    await rig.ask("track", provider="exa")
    rig.journal.commits.close()
    rig.send("track", provider="vllm", event_id="k")
    await rig.journal.commits.waiting.wait()
    rig = await rig.restart(unknown_providers=REGISTER)
    assert stored(rig) == ["usage", "provider"]
    assert await others(rig) == [("vllm", True)]
    reply = (await rig.ask("track", provider="vllm", event_id="k")).body
    assert reply["duplicate"] is False
    assert stored(rig) == ["usage", "provider", "usage"]


async def test_a_hold_that_expired_before_the_first_call_to_a_provider_is_settled_late(
    start: Start,
) -> None:
    rig = await start(unknown_providers=REGISTER)
    await rig.ask("hold", provider="vllm", event_id="h", ttl=1)
    rig = await rig.restart(unknown_providers=REGISTER)
    rig.clock.at += 2_000_000
    await rig.ask("track", provider="exa")
    reply = (await rig.ask("track", provider="vllm", hold_id="h")).body
    assert (reply["hold_status"], reply["late_settle"]) == ("expired", True)


async def test_verify_finds_nothing_wrong_with_other_providers(tmp_path: Path) -> None:
    journal = await SQLiteJournal.open(tmp_path, FORM)
    rig = await Rig.start(journal, snapshot_events=3, unknown_providers=REGISTER)  # type: ignore[arg-type]
    await rig.catalog("providers.put", id="vllm", groups=["ai_text_generation"], aliases=["own"])
    for name in ("vllm", "own", "new-1", "exa", "new-2"):
        assert (await rig.ask("track", provider=name, cost=0.5)).code == ""
        await rig.ask("hold", provider=name, event_id=f"h {name}")
        if name == "own":
            await rig.ask("reset")
    await rig.catalog("providers.archive", id="vllm")
    rig.clock.at += 31 * 86_400_000_000
    await rig.ask("track", provider="vllm", timestamp="2026-03-15T12:00:01Z")
    await rig.idle()
    await rig.stop()
    await journal.close()
    report, found = verified(tmp_path)
    assert found == []
    assert (report.users, report.closed) == (1, 1)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"tokens_input": 1, "tokens_cache_read": 2}, "invalid_request"),
        ({"timestamp": "2020-01-01T00:00:00Z"}, "timestamp_out_of_range"),
        ({"units": {"parsecs": 1}}, "unknown_unit"),
    ],
)
async def test_a_call_that_is_refused_stores_no_provider(
    start: Start, wrong: dict[str, Any], code: str
) -> None:
    rig = await start(unknown_providers=REGISTER)
    call = {"provider": "vllm", **wrong}
    assert (await rig.ask("track", **call)).code == code
    assert await others(rig) == []
    events = [call, {"provider": "tgi"}, {**call, "event_id": "k"}]
    body = (await rig.ask("batch", events=events)).body
    assert (body["accepted"], body["rejected"]) == (1, 2)
    assert {body["results"][at]["error"]["code"] for at in (0, 2)} == {code}
    assert await others(rig) == [("tgi", True)]
    events = [{**call, "event_id": "k"}, {"provider": "vllm", "event_id": "k"}]
    body = (await rig.ask("batch", events=events)).body
    assert (body["accepted"], body["rejected"]) == (1, 1)
    assert await others(rig) == [("tgi", True), ("vllm", True)]
