from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.billing.wire.track import track_reply
from messages.codec import encode_reply
from messages.stored.events import UsageRecorded
from messages.usage import TrackReply

_PLAIN: dict[str, Any] = {
    "provider": st.sampled_from(["openai", "wavespeed"]),
    "actual": st.text(max_size=20),
    "model": st.text(max_size=5),
    "billing_period": st.just("2026-03.2"),
    "status": st.sampled_from(["active", "limit_reached"]),
    "priced": st.sampled_from(["catalog", "caller"]),
    "cost_nano": st.integers(0, 10**30),
    "cost_input_nano": st.integers(0, 10**10),
    "cost_output_nano": st.integers(0, 10**10),
    "cost_catalog_nano": st.none() | st.integers(0, 10**10),
    "tokens_input": st.integers(0, 10**9),
    "tokens_output": st.integers(0, 10**9),
    "late": st.booleans(),
    "hold_id": st.none() | st.text(max_size=5),
    "hold_status": st.sampled_from([None, "settled", "unknown"]),
}


@given(st.builds(UsageRecorded, **_PLAIN), st.text(min_size=1), st.integers(1), st.booleans())
def test_the_written_reply_is_the_struct_encoded(
    event: UsageRecorded, key: str, seq: int, duplicate: bool
) -> None:
    reply = track_reply(event, key, seq, duplicate=duplicate)
    assert json.loads(reply, parse_float=Decimal) == {
        "usage_logged": True,
        "event_id": key,
        "duplicate": duplicate,
        "cost": Decimal(event.cost_nano) / 10**9,
        "cost_input": Decimal(event.cost_input_nano) / 10**9,
        "cost_output": Decimal(event.cost_output_nano) / 10**9,
        "cost_catalog": None
        if event.cost_catalog_nano is None
        else Decimal(event.cost_catalog_nano) / 10**9,
        "tokens_used": event.tokens_input + event.tokens_output,
        "billing_period": event.billing_period,
        "usage_status": event.status,
        "priced": event.priced,
        "provider": event.provider,
        "actual_provider_name": event.actual,
        "late": event.late,
        "hold_status": event.hold_status,
        "late_settle": event.late_settle or event.hold_status not in {None, "settled"},
        "alerts": [],
        "seq": seq,
    }
    decoded = msgspec.json.decode(reply, type=TrackReply)
    assert list(json.loads(encode_reply(decoded))) == list(json.loads(reply))
