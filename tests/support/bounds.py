"""What each field of each verb may hold: values at its bounds, and values beyond them."""

from __future__ import annotations

from typing import Any

from messages.dimensions import COUNT_FIELDS
from messages.verbs import VERBS

REQUIRED: dict[str, dict[str, Any]] = {
    **{verb.name: dict(verb.least) for verb in VERBS},
    "ack": {},  # it names no field that is required by itself
}
WIDE = "\U0001f600"  # four bytes, one character
NOW = "2026-03-15T12:00:00Z"


def integers(low: int, high: int) -> tuple[list[Any], list[Any]]:
    return [low, low + 1, high], [low - 1, high + 1, 10**30, -(10**30), 1.0, 1e3, True, "1", [], {}]


def texts(high: int, low: int = 0) -> tuple[list[Any], list[Any]]:
    good = ["a" * low, "a" * high, WIDE * high, "a\u0000b" if high > 2 else ""]
    return good, ["a" * (high + 1), WIDE * (high + 1), *([""] if low else []), 1, True, [], {}]


MOMENT: tuple[list[Any], list[Any]] = (
    [NOW, "2026-03-15T14:00:00.123456+02:00", "2026-03-15T12:00:00-00:00"],
    [
        "2026-03-15T12:00:00",
        "2026-03-15",
        "2026-03-15T12:00Z",
        "2026-02-30T12:00:00Z",
        "now",
        0,
        1.5,
    ],
)
PERIOD: tuple[list[Any], list[Any]] = (
    ["2026-03", "2026-12.2", "2026-03.10", "0001-01.99"],
    [
        "2026",
        "2026-13",
        "2026-00",
        "2026-3",
        "2026-03.1",
        "2026-03.0",
        "2026-03.02",
        "2026-03.",
        202603,
        *("2026-03\n", " 2026-03", "2026-03-01", "٢٠٢٦-٠٣", ""),
    ],
)
METADATA: tuple[list[Any], list[Any]] = (
    [{}, {"k" * 64: "v" * 256}, {"": ""}, {str(n): "v" for n in range(16)}],
    [
        *({"k" * 65: "v"}, {"k": "v" * 257}, {str(n): "v" for n in range(17)}),
        *({"k": 1}, {"k": None}, {"k": {"k": "v"}}, [], [["k", "v"]], "k", 1),
    ],
)
TAGS: tuple[list[Any], list[Any]] = (
    [{}, {"t": "v"}, {"a" * 48: WIDE * 64}, {f"t{n}_": "v" for n in range(8)}],
    [
        *({"": "v"}, {"T": "v"}, {"1t": "v"}, {"t-": "v"}, {"t\n": "v"}, {"a" * 49: "v"}),
        *({"t": ""}, {"t": "v" * 65}, {"t": 1}, {"t": None}, {"t": {}}, [], "t", 1),
        {f"t{n}": "v" for n in range(9)},
    ],
)
UNITS: tuple[list[Any], list[Any]] = (
    [{}, {"seconds": 1.5}, {"a" * 48: -1}, {"a": None, "b": "x"}, {f"u{n}_": n for n in range(16)}],
    [
        *({"": 1}, {"U": 1}, {"1u": 1}, {"u-": 1}, {"u\n": 1}, {"a" * 49: 1}, [], ["u"], "u", 1),
        {f"u{n}": 1 for n in range(17)},
    ],
)
"""Which numbers an amount may be is for the rules: see tests/unit/test_units_of_calls.py."""
OUTCOME: tuple[list[Any], list[Any]] = (
    ["ok", "failed", "cancelled", "unknown"],
    ["", "OK", "error", 1, True, [], {}],
)
LABELS = {"key": texts(64, low=1), "tags": TAGS}
PARTS: tuple[list[Any], list[Any]] = (
    [{}, {"input_audio": 0}],
    [{"audio": 1}, {"input_audio": -1}, {"input_audio": 10**9 + 1}, {"input_audio": "1"}, [], 1],
)
VARIANT = texts(64)
FACTORS: tuple[list[Any], list[Any]] = (
    [[], ["us"], ["us", "eu", "a", "a" * 48]],
    [["a"] * 5, [""], ["a" * 49], [1], "us", {}, 1],
)
COUNTING: tuple[list[Any], list[Any]] = (
    ["inclusive", "exclusive"],
    ["", "Exclusive", "other", 1, True, [], {}],
)
PRICING = {
    "token_parts": PARTS,
    "token_counting": COUNTING,
    "price_variant": VARIANT,
    "price_factors": FACTORS,
}
TOKENS, COUNT, SIZE = integers(0, 10**9), integers(0, 10**6), integers(0, 10**12)
TEXT, KEY, STATUS = texts(256), texts(128, low=1), integers(100, 599)
FLAG: tuple[list[Any], list[Any]] = ([True, False], [0, 1, "true", [], {}])
ASKED = {
    "provider": TEXT,
    "model_used": TEXT,
    "actual_provider_name": TEXT,
    "endpoint": texts(1_024),
    "tokens_requested": TOKENS,
    "calls": integers(1, 1_000),
    **{field: TOKENS if "tokens" in field else COUNT for field in COUNT_FIELDS},
    **LABELS,
    **PRICING,
    "units_requested": UNITS,
    "deadline": MOMENT,
}

BOUNDS: dict[str, dict[str, tuple[list[Any], list[Any]]]] = {
    "track": {
        "provider": TEXT,
        "event_id": KEY,
        "endpoint": texts(1_024),
        "method": TEXT,
        "model_used": TEXT,
        "actual_provider_name": TEXT,
        **{field: TOKENS if "tokens" in field else COUNT for field in COUNT_FIELDS},
        "response_time": (
            [0, 0.0, 0.000001, 1, 86_400, 86_400.0],
            [-1, -0.001, 86_400.001, 86_401, 10**400, True, "1", []],
        ),
        "status_code": STATUS,
        "request_size": SIZE,
        "response_size": SIZE,
        "user_agent": TEXT,
        "ip_address": TEXT,
        "error_message": texts(4_096),
        "retry_count": COUNT,
        "timestamp": MOMENT,
        "hold_id": TEXT,
        "metadata": METADATA,
        "outcome": OUTCOME,
        **LABELS,
        **PRICING,
        "units": UNITS,
        "deadline": MOMENT,
    },
    "enforce": ASKED,
    "reset": {"reason": TEXT, "event_id": KEY, "deadline": MOMENT},
    "stats": {"billing_period": PERIOD, "deadline": MOMENT},
    "logs": {
        "limit": integers(1, 1_000),
        "cursor": texts(512),
        "provider": TEXT,
        "status_code": STATUS,
        "model_used": TEXT,
        "outcome": OUTCOME,
        **LABELS,
        "billing_period": PERIOD,
        "event_id": KEY,
        "since": MOMENT,
        "until": MOMENT,
        "deadline": MOMENT,
    },
    "hold": {**ASKED, "ttl": integers(1, 86_400), "event_id": KEY},
    "extend": {
        "hold_id": TEXT,
        "ttl": integers(1, 86_400),
        "tokens_requested": TOKENS,
        "units_requested": UNITS,
        "event_id": KEY,
        "deadline": MOMENT,
    },
    "release": {"hold_id": TEXT, "event_id": KEY, "deadline": MOMENT},
    "holds": {"deadline": MOMENT},
    "trends": {"months": integers(1, 36), "deadline": MOMENT},
    "alerts": {
        "unread_only": FLAG,
        "limit": integers(1, 1_000),
        "billing_period": PERIOD,
        "deadline": MOMENT,
    },
    "ack": {
        "ids": (
            [[], ["a"], ["a" * 256] * 200, ["a"] * 1_000],
            [["a"] * 1_001, ["a" * 257], [1], "a", {}],
        ),
        "all": FLAG,
        "event_id": KEY,
        "deadline": MOMENT,
    },
    "subscribe": {
        "plan": TEXT,
        "billing_cycle": (["monthly", "yearly"], ["weekly", "Monthly", "", 1, True]),
        "auto_renew": FLAG,
        "period_start": MOMENT,
        "period": (["keep", "new"], ["old", "", 1]),
        "overrides": ([{}], [[], "a", 1]),
        "event_id": KEY,
        "deadline": MOMENT,
    },
    "cancel": {"at_period_end": FLAG, "event_id": KEY, "deadline": MOMENT},
    "suspend": {"reason": TEXT, "event_id": KEY, "deadline": MOMENT},
    "resume": {"event_id": KEY, "deadline": MOMENT},
    "subscription": {"deadline": MOMENT},
    "dashboard": {"deadline": MOMENT},
    "batch": {"events": ([[]], ["a", {}, 1]), "event_id": KEY, "deadline": MOMENT},
    "preflight": {
        "operations": ([], [[], [{"provider": "exa"}] * 101, [1], "a", {}]),
        "hold": ([], [1, [], "a", {"ttl": 0}, {"ttl": 86_401}, {"event_id": ""}]),
        "deadline": MOMENT,
    },
}
SIDE_FIELDS = ("endpoint", "method", "user_agent", "ip_address", "error_message", "metadata")
for _field in SIDE_FIELDS:
    good, wrong = BOUNDS["track"][_field]
    # What does not fit is cut (tests/unit/test_clipping.py); what is of another type is refused.
    cut = [one for one in wrong if isinstance(one, dict if _field == "metadata" else str)]
    BOUNDS["track"][_field] = (good, [one for one in wrong if one not in cut])
FIELDS = [(verb, field) for verb, fields in BOUNDS.items() for field in fields]
MONEY = [
    ("track", "cost"),
    ("enforce", "cost_requested"),
    ("hold", "cost_requested"),
    ("extend", "cost_requested"),
]
