from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.billing.periods.calendar import AHEAD
from actors.billing.reports import usage_log
from actors.billing.reports.usage_log import CHUNK, PAGE_BYTES_MAX, SCANNED_MAX, Page
from messages.codec import encode_event, encode_reply
from messages.errors import InvalidRequest, RequestError
from messages.reports import LogEntry, LogsReply
from messages.stored.events import (
    KIND,
    CountersReset,
    UsageRecorded,
)
from messages.units import to_datetime
from tests.support.meter import NOON, STRIDE, Entry, Meter, a_logs, micros, nano, plan
from tests.support.rows import CALL

MINUTE = 60 * 10**6
SPEC: dict[str, Any] = {
    "endpoint": "/v1/chat",
    "method": "PUT",
    "model_used": "gpt-4o",
    "actual_provider_name": "azure",
    "tokens_input": 100,
    "tokens_output": 50,
    "tokens_cache_read": 10,
    "tokens_cache_write": 20,
    "tokens_reasoning": 5,
    "search_count": 1,
    "image_count": 2,
    "page_count": 3,
    "response_time": 1.25,
    "status_code": 503,
    "request_size": 10**12,
    "response_size": 7,
    "user_agent": "agent",
    "ip_address": "::1",
    "error_message": "it broke",
    "retry_count": 2,
    "hold_id": "h-1",
    "metadata": {"team": "blue"},
}


class Source:
    """Rows as the journal gives them: newest first, in chunks."""

    def __init__(self, rows: Sequence[Entry]) -> None:
        self.rows = list(rows)
        self.fetched = 0

    def page(self, meter: Meter, seq: int | None = None, **ask: Any) -> LogsReply:
        """One page, as the actor makes it."""
        request = a_logs(**ask)
        wanted = usage_log.filter_of(request, meter.catalog)
        seq = self.rows[-1].seq if seq is None and self.rows else seq or 0
        before = usage_log.read_cursor(request.cursor, wanted) if request.cursor else None
        total = usage_log.total_of(meter.account, wanted) if before is None else None
        page = Page(wanted, request.limit or usage_log.PAGE, seq + 1 if before is None else before)
        while not page.full:
            count = page.rows_wanted()
            chunk = [row for row in reversed(self.rows) if row.seq < page.before][:count]
            self.fetched += len(chunk)
            page.take(chunk, last=len(chunk) < count)
        return page.reply(total, seq)

    def walk(self, meter: Meter, **ask: Any) -> list[LogsReply]:
        """All pages to the end."""
        found = [self.page(meter, **ask)]
        while found[-1].next_cursor is not None:
            found.append(self.page(meter, **ask, cursor=found[-1].next_cursor))
            assert len(found) < 1_000
        return found


def entries(walk: list[LogsReply]) -> list[LogEntry]:
    return [entry for page in walk for entry in page.logs]


def rows_of(count: int, **fields: Any) -> list[Entry]:
    """Usage rows without the metering, one minute apart."""
    body = encode_event(UsageRecorded(**CALL | fields))
    return [
        Entry(n * STRIDE, f"k{n}", "usage", NOON + n * MINUTE, body, None)
        for n in range(1, count + 1)
    ]


def mixed() -> Meter:
    """Events of three providers, two periods, some late, some failed, with a reset between."""
    meter = Meter(at=micros("2026-03-30T00:00:00Z"))
    for n in range(40):
        meter.at += 3 * 3_600 * 10**6
        provider = ("openai", "exa", "huggingface")[n % 3]
        timestamp = meter.at - 2 * 86_400 * 10**6 if n % 5 == 0 else None
        meter.track(
            provider, event_id=f"k{n}", timestamp=timestamp, status_code=500 if n % 4 == 0 else 200
        )
        if n == 10:
            meter.reset()
    return meter


MIXED = mixed()


def test_an_entry_shows_every_field_that_was_tracked_and_what_it_cost() -> None:
    meter = Meter(terms=plan({}))
    reply = meter.track(event_id="e-1", timestamp=NOON - MINUTE, cost=Decimal("0.25"), **SPEC)
    (entry,) = Source(meter.log).page(meter).logs
    for field, value in SPEC.items():
        assert getattr(entry, field) == value, field
    assert (entry.event_id, entry.provider) == ("e-1", "openai")
    assert (entry.timestamp, entry.logged_at) == (to_datetime(NOON - MINUTE), to_datetime(NOON))
    assert (entry.cost, entry.cost_catalog, entry.priced) == (
        Decimal("0.25"),
        reply.cost_catalog,
        "caller",
    )
    assert entry.cost_catalog is not None
    assert nano(entry.cost_catalog) == nano("0.00075")
    assert entry.cost_input == entry.cost_output == 0
    assert entry.tokens_used == 150
    assert (entry.billing_period, entry.late, entry.seq) == ("2026-03", False, reply.seq)


def test_an_entry_of_a_call_that_said_little_shows_defaults_and_null() -> None:
    meter = Meter()
    meter.track("exa")
    (entry,) = Source(meter.log).page(meter).logs
    assert (entry.endpoint, entry.method, entry.status_code) == ("", "POST", 200)
    assert (entry.model_used, entry.actual_provider_name) == ("exa-search", "exa")
    assert entry.timestamp == entry.logged_at
    for field in ("tokens_cache_read", "search_count", "request_size", "hold_id", "metadata"):
        assert getattr(entry, field) is None


def test_a_page_is_newest_first_50_long_and_its_cursor_goes_on() -> None:
    source = Source(rows_of(120))
    walk = source.walk(MIXED)
    assert [len(page.logs) for page in walk] == [50, 50, 20]
    assert [entry.seq for entry in entries(walk)] == [row.seq for row in source.rows[::-1]]
    assert [page.next_cursor is None for page in walk] == [False, False, True]


@pytest.mark.parametrize("noise_first", [False, True])
def test_a_page_that_shows_the_last_event_has_no_cursor(noise_first: bool) -> None:
    rows = rows_of(7)
    if noise_first:  # what opened the period is no usage
        noise = encode_event(CountersReset(billing_period="2026-03"))
        rows[0] = rows[0]._replace(kind=KIND[CountersReset], body=noise)
    page = Source(rows).page(MIXED, limit=7 - noise_first)
    assert (len(page.logs), page.next_cursor) == (7 - noise_first, None)


FILTERS: list[dict[str, Any]] = [
    {},
    {"provider": "openai"},
    {"provider": "mistral"},
    {"provider": "gemini"},
    {"status_code": 500},
    {"billing_period": "2026-03"},
    {"billing_period": "2026-04"},
    {"billing_period": "1999-01"},
    {"provider": "exa", "status_code": 500, "billing_period": "2026-04"},
    {"since": micros("2026-04-02T00:00:00Z")},
    {"until": micros("2026-04-02T00:00:00Z")},
    {"since": micros("2026-03-31T00:00:00Z"), "until": micros("2026-04-02T00:00:00Z")},
    {"since": micros("2030-01-01T00:00:00Z")},
]


def matches(row: Entry, ask: dict[str, Any]) -> bool:
    event = row.event
    if not isinstance(event, UsageRecorded):
        return False
    at = row.at if event.timestamp is None else event.timestamp
    same = all(
        getattr(event, field) == ask[field]
        for field in ("provider", "status_code", "billing_period")
        if field in ask
    )
    return same and ask.get("since", at) <= at and (at < ask["until"] if "until" in ask else True)


@pytest.mark.parametrize("limit", [1, 3, 7, 1_000])
@pytest.mark.parametrize("ask", FILTERS, ids=str)
def test_a_walk_shows_each_event_that_matches_once(ask: dict[str, Any], limit: int) -> None:
    walk = Source(MIXED.log).walk(MIXED, limit=limit, **ask)
    expected = [row.key for row in MIXED.log[::-1] if matches(row, ask)]
    assert [entry.event_id for entry in entries(walk)] == expected
    assert all(len(page.logs) <= limit for page in walk)


@given(st.lists(st.sampled_from(["usage", "reset", "exa"]), max_size=30), st.integers(1, 4))
def test_a_walk_is_complete_whatever_lies_between_the_events(kinds: list[str], limit: int) -> None:
    usage = rows_of(len(kinds))
    noise = encode_event(CountersReset(billing_period="2026-03"))
    rows = [
        row._replace(kind=KIND[CountersReset], body=noise)
        if kind == "reset"
        else row._replace(body=row.body.replace('"openai"', '"exa"', 1))
        if kind == "exa"
        else row
        for row, kind in zip(usage, kinds, strict=True)
    ]
    walk = Source(rows).walk(MIXED, limit=limit, provider="openai")
    expected = [row.seq for row, kind in zip(rows, kinds, strict=True) if kind == "usage"]
    assert [entry.seq for entry in entries(walk)] == expected[::-1]


def test_a_walk_shows_nothing_that_came_after_its_first_page() -> None:
    meter = Meter()
    for _ in range(6):
        meter.track()
    source = Source(meter.log)
    first = source.page(meter, limit=2)
    for _ in range(5):
        meter.track()
    later = Source(meter.log)
    second = later.page(meter, limit=2, cursor=first.next_cursor)
    third = later.page(meter, limit=9, cursor=second.next_cursor)
    shown = [entry.seq for entry in entries([first, second, third])]
    assert shown == sorted(set(shown), reverse=True)
    assert len(shown) == 6
    assert third.next_cursor is None


def test_since_is_inclusive_and_until_exclusive_and_both_look_at_the_timestamp() -> None:
    meter = Meter(terms=plan({}))
    for offset in (0, 1, 2):
        meter.track(timestamp=NOON - 3 + offset, event_id=f"k{offset}")
    found = Source(meter.log).page(meter, since=NOON - 3, until=NOON - 1).logs
    assert [entry.event_id for entry in found] == ["k1", "k0"]


@pytest.mark.parametrize("limit", [1, 50, 400])
def test_a_page_without_a_filter_fetches_little_more_than_it_shows(limit: int) -> None:
    source = Source(rows_of(1_000))
    assert len(source.page(MIXED, limit=limit).logs) == limit
    assert source.fetched <= max(limit + 1, usage_log.FEW)


def test_since_ends_the_walk_where_nothing_older_can_match() -> None:
    rows = rows_of(2_000)
    source = Source(rows)
    newest = rows[-1].at
    page = source.page(MIXED, since=newest, limit=10)
    assert (len(page.logs), page.next_cursor, source.fetched) == (1, None, CHUNK)
    # An event may be up to five minutes ahead of its arrival.
    ahead = rows_of(3, timestamp=NOON + MINUTE + AHEAD)[:1] + rows[1:]
    page = Source(ahead).page(MIXED, since=NOON + MINUTE + AHEAD, until=NOON + MINUTE + AHEAD + 1)
    assert [entry.event_id for entry in page.logs] == ["k6", "k1"]


@pytest.mark.parametrize(
    ("ask", "total"),
    [
        ({}, 40),
        ({"provider": "openai"}, 14),
        ({"provider": "huggingface"}, 13),
        ({"provider": "gemini"}, 0),
        ({"billing_period": "2026-03"}, 19),
        ({"billing_period": "2026-04"}, 21),
        ({"provider": "openai", "billing_period": "2026-03"}, None),
        ({"status_code": 500}, None),
        ({"event_id": "k1"}, None),
        ({"since": NOON}, None),
        ({"until": NOON}, None),
        ({"provider": "openai", "status_code": 500}, None),
        ({"billing_period": "2026-03", "until": NOON}, None),
    ],
)
def test_the_total_counts_the_whole_filter_if_it_is_empty_a_provider_or_a_period(
    ask: dict[str, Any], total: int | None
) -> None:
    wanted = usage_log.filter_of(a_logs(**ask), MIXED.catalog)
    assert usage_log.total_of(MIXED.account, wanted) == total
    if total is not None:
        canonical = {name: wanted.provider if name == "provider" else v for name, v in ask.items()}
        assert total == sum(matches(row, canonical) for row in MIXED.log)


def test_only_the_first_page_has_a_total() -> None:
    walk = Source(MIXED.log).walk(MIXED, limit=15)
    assert [page.total_count for page in walk] == [40, None, None]


def test_a_period_out_of_the_live_state_has_no_total_there() -> None:
    wanted = usage_log.filter_of(a_logs(billing_period="1999-01"), MIXED.catalog)
    assert usage_log.total_of(MIXED.account, wanted) is None
    assert wanted.only_period()
    both = usage_log.filter_of(a_logs(billing_period="1999-01", provider="exa"), MIXED.catalog)
    assert not both.only_period()
    assert not usage_log.filter_of(a_logs(), MIXED.catalog).only_period()


def test_a_page_ends_before_its_limit_if_the_reply_would_grow_too_large() -> None:
    large = "\u00fc" * 4_096
    rows = [row._replace(personal=f'{{"error_message":"{large}"}}') for row in rows_of(300)]
    walk = Source(rows).walk(MIXED, limit=1_000)
    assert len(walk) > 2
    assert [entry.seq for entry in entries(walk)] == [row.seq for row in rows[::-1]]
    sizes = [len(encode_reply(page)) for page in walk]
    assert max(sizes) <= 900 * 1024
    assert min(sizes[:-1]) > PAGE_BYTES_MAX - 16 * 1024


def test_an_entry_larger_than_a_page_is_still_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_log, "PAGE_BYTES_MAX", 10)
    walk = Source(rows_of(3)).walk(MIXED)
    assert [len(page.logs) for page in walk] == [1, 1, 1]


def test_a_page_looks_at_a_bounded_number_of_rows() -> None:
    rows = rows_of(SCANNED_MAX + CHUNK)
    rows[0] = rows_of(1, status_code=500)[0]
    source = Source(rows)
    first = source.page(MIXED, status_code=500)
    assert first.logs == ()
    assert first.next_cursor is not None
    assert source.fetched == SCANNED_MAX
    walk = source.walk(MIXED, status_code=500)
    assert [entry.seq for entry in entries(walk)] == [rows[0].seq]


def test_an_empty_log_is_one_empty_page() -> None:
    page = Source([]).page(Meter())
    assert (page.logs, page.next_cursor, page.total_count, page.seq) == ((), None, 0, 0)


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"provider": "exa"},
        {"provider": "openai", "status_code": 200},
        {"provider": "openai", "billing_period": "2026-03"},
        {"provider": "openai", "event_id": "k1"},
        {"provider": "openai", "since": 0},
        {"provider": "openai", "until": NOON},
    ],
)
def test_a_cursor_is_bound_to_its_filters(other: dict[str, Any]) -> None:
    source = Source(MIXED.log)
    cursor = source.page(MIXED, limit=2, provider="openai").next_cursor
    assert source.page(MIXED, limit=5, provider="openai", cursor=cursor).logs
    with pytest.raises(InvalidRequest) as caught:
        source.page(MIXED, cursor=cursor, **other)
    assert caught.value.field == "cursor"


def test_an_alias_is_the_same_filter() -> None:
    source = Source(MIXED.log)
    cursor = source.page(MIXED, limit=2, provider="huggingface").next_cursor
    assert source.page(MIXED, limit=2, provider="mistral", cursor=cursor).logs


@pytest.mark.parametrize("provider", ["", "nobody", "OpenAI"])
def test_an_unknown_provider_is_no_filter(provider: str) -> None:
    with pytest.raises(RequestError) as caught:
        usage_log.filter_of(a_logs(provider=provider), MIXED.catalog)
    assert (caught.value.code, caught.value.field) == ("unknown_provider", "provider")
