"""Requests that are nearly right: valid bodies of every verb, and what can become of them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from messages.verbs import CATALOG_COMMANDS
from tests.support.bounds import BOUNDS, MONEY, REQUIRED

CATALOG_BODIES: Final[dict[str, dict[str, Any]]] = {
    "catalog.plans.list": {"cursor": "MDow"},
    "catalog.plans.put": {
        "name": "Basic",
        "tier": "basic",
        "price_monthly": 29,
        "price_yearly": 290.5,
        "limits": {"openai_calls": 10, "monthly_cost": 0.5},
        "features": ["a", "b"],
        "event_id": "plan-1",
    },
    "catalog.prices.list": {"provider": "openai", "model": "gpt-4o-mini", "cursor": "MDow"},
    "catalog.prices.put": {
        "provider": "openai",
        "model": "gpt-4o-mini",
        "cost_per_input_token": 1.5e-7,
        "cost_per_output_token": 6e-7,
        "effective_from": "2126-01-01T00:00:00Z",
        "version": 1,
        "event_id": "price-1",
        "variant": "batch",
        "tiers": [{"above_input_tokens": 200_000, "cost_per_input_token": 3e-7}],
        "token_parts": {"input_audio": 1e-6, "cache_write_long": 2e-6},
        "units": {"seconds": {"usd": 0.017, "per": 60}, "web_searches": 0.01},
        "multipliers": {"us": 1.1},
    },
    "catalog.prices.cancel": {
        "provider": "openai",
        "model": "gpt-4o-mini",
        "effective_from": "2126-01-01T00:00:00Z",
        "variant": "batch",
        "event_id": "price-2",
    },
    "catalog.prices.unpriced": {"since": "2026-03-01T00:00:00Z", "limit": 2},
    "catalog.providers.list": {"limit": 5, "cursor": "MDow"},
    "catalog.providers.put": {
        "id": "vllm",
        "name": "Our own",
        "kind": "llm",
        "default_model": "llama",
        "aliases": ["our own"],
        "served_by": "rack 4",
        "detect": [{"actual": "rack 5", "model": ["*-70b"], "endpoint": ["/five/?*"]}],
        "groups": ["ai_text_generation"],
        "unpriced": "zero",
        "token_counting": "exclusive",
        "event_id": "provider-1",
    },
    "catalog.providers.archive": {"id": "vllm", "event_id": "archive-1"},
    "catalog.units.list": {},
    "catalog.units.put": {
        "id": "gpu_seconds",
        "name": "Seconds of a GPU",
        "scale": 3,
        "max_per_call": 10**12,
        "event_id": "unit-1",
    },
    "catalog.units.archive": {"id": "gpu_seconds", "event_id": "unit-2"},
    "catalog.estimate.cost": {"provider": "exa", "tokens_input": 5, "text": "one two three"},
    "catalog.users.list": {"limit": 2, "prefix": "a", "billing_period": "2026-03"},
}
VERBS: Final = (*REQUIRED, *CATALOG_BODIES)
ENVELOPE: Final[dict[str, Any]] = {
    "specversion": "1.0",
    "id": "cloud-1",
    "source": "/billing",
    "type": "usage",
    "subject": "alice",
    "time": "2026-03-15T12:00:00Z",
}
ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 2**31, 2**63, -(2**63) - 1, 10**40, 10**9, 10**9 + 1),
    *("", " ", "\x00", "\ud800", "é日🙂", "a" * 257, "x" * 5_000, "null", "../../etc/passwd"),
    *("'; DROP TABLE log; --", "{}", "\r\n", "%s%n", "exa", "openai", "Pro", "monthly", "h" * 24),
    *("2026-02-30T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-13"),
    *([], {}, [None], [[]], {"": None}, [{"provider": "exa"}], {"openai_calls": -1}, ["a"] * 50),
)
RAW: Final[tuple[bytes, ...]] = (
    *(b"NaN", b"-Infinity", b"1e309", b"1e300000", b"-0", b"0.1e-400", b"9" * 400, b"1.", b"01"),
    *(b'"\xff"', b'"\\ud800"', b'"\\u00"', b"\xef\xbb\xbf{}", b"[" * 300, b"{" * 300, b"nul"),
    *(b'{"a":' * 200 + b"1" + b"}" * 200, b"[" * 1_500 + b"]" * 1_500, b"1e" + b"9" * 30),
)
"""Values that no encoder of JSON writes."""
_PLACE: Final = "@@value@@"


def valid(rng: random.Random, verb: str) -> dict[str, Any]:
    """A body that the verb takes, with some of its fields at values within their bounds."""
    if verb in CATALOG_BODIES:
        known = CATALOG_BODIES[verb]
        return {name: value for name, value in known.items() if rng.random() < 0.8 or not value}
    body = dict(REQUIRED[verb])
    if verb == "batch":
        body["events"] = [valid(rng, "track") for _ in range(rng.randrange(4))]
    elif verb == "preflight":
        body["operations"] = [valid(rng, "enforce") for _ in range(rng.randint(1, 3))]
        for operation in body["operations"]:
            operation.pop("deadline", None)
    bounds = BOUNDS[verb]
    for name in rng.sample(sorted(bounds), min(len(bounds), rng.randrange(4))):
        if bounds[name][0] and name not in body:
            body[name] = _one_of(rng, bounds[name][0])
    for money in [name for of, name in MONEY if of == verb and rng.random() < 0.2]:
        body[money] = rng.choice((0, 0.5, 1e-9, 1_000_000, 12.345678901))
    if "event_id" in bounds and rng.random() < 0.5:
        body["event_id"] = f"k{rng.randrange(10**9)}"
    return body


def _one_of(rng: random.Random, values: Sequence[Any]) -> Any:
    """A copy: what is changed in it later must not be in the next body."""
    return copy.deepcopy(rng.choice(values))


def enveloped(rng: random.Random, body: dict[str, Any]) -> dict[str, Any]:
    """The body as the data of a CloudEvent."""
    return {**ENVELOPE, "id": f"c{rng.randrange(10**9)}", "data": body}


def dumped(body: Any) -> bytes:
    """JSON that may be wrong: lone surrogates become escapes, which are none of JSON's texts."""
    return json.dumps(body).encode()


def mutated(rng: random.Random, verb: str) -> bytes:
    """A body that was valid, changed in one to three ways."""
    body: Any = valid(rng, verb)
    if verb == "track" and rng.random() < 0.1:
        body = enveloped(rng, body)
    for _ in range(rng.randint(0, 2)):
        rng.choice(_ON_VALUES)(rng, body)
    data = dumped(body)
    if rng.random() < 0.3:
        data = rng.choice(_ON_TEXT)(rng, data)
    if rng.random() < 0.3:
        data = rng.choice(_ON_BYTES)(rng, data)
    return data


def _place(rng: random.Random, body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A field of the body, perhaps of what lies in it."""
    inner = [value for value in body.values() if isinstance(value, dict)]
    lists = [value for value in body.values() if isinstance(value, list)]
    inner += [part for value in lists for part in value if isinstance(part, dict)]
    target = rng.choice(inner) if inner and rng.random() < 0.5 else body
    return target, rng.choice(sorted(target)) if target else ""


def _replace(rng: random.Random, body: dict[str, Any]) -> None:
    target, name = _place(rng, body)
    target[name] = _one_of(rng, ODD)


def _remove(rng: random.Random, body: dict[str, Any]) -> None:
    target, name = _place(rng, body)
    target.pop(name, None)


def _add(rng: random.Random, body: dict[str, Any]) -> None:
    target, _ = _place(rng, body)
    others = [field for fields in BOUNDS.values() for field in fields]
    name = rng.choice(("", "x", "$", "a.b[0]`", "é", "__proto__", *others))
    target[name] = _one_of(rng, ODD)


def _beyond(rng: random.Random, body: dict[str, Any]) -> None:
    """A value that the field refuses, by the table of bounds."""
    target, name = _place(rng, body)
    refused = [fields[name][1] for fields in BOUNDS.values() if name in fields]
    target[name] = _one_of(rng, rng.choice(refused)) if refused else _one_of(rng, ODD)


_ON_VALUES: Final[tuple[Callable[[random.Random, dict[str, Any]], None], ...]] = (
    *(_replace, _remove, _add, _beyond),
)


def _raw(rng: random.Random, data: bytes) -> bytes:
    """Something that is no JSON in place of a value."""
    body = json.loads(data)
    target, name = _place(rng, body)
    target[name] = _PLACE
    return dumped(body).replace(dumped(_PLACE), rng.choice(RAW))


def _doubled(rng: random.Random, data: bytes) -> bytes:
    """A key that is there twice."""
    body = json.loads(data)
    name = rng.choice(sorted(body)) if body else "provider"
    first = b"%b:%b" % (dumped(name), dumped(_one_of(rng, ODD)))
    return b"{%b%b" % (first + b"," if body else first, data[1:])


def _spaced(rng: random.Random, data: bytes) -> bytes:
    space = rng.choice((b" ", b"\n", b"\t", b"\r\n", b"\x0b", b"\xc2\xa0")) * rng.randint(1, 9)
    return rng.choice((space + data, data + space, data.replace(b",", space + b",", 2)))


def _huge(rng: random.Random, data: bytes) -> bytes:
    """A body about as large as may be, or larger."""
    size = rng.choice((64 * 1024, 512 * 1024)) + rng.randint(-2, 2)
    return data + b" " * (size - len(data)) if rng.random() < 0.02 else data


_ON_TEXT: Final[tuple[Callable[[random.Random, bytes], bytes], ...]] = (
    *(_raw, _doubled, _spaced, _huge),
)


def _flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _splice(rng: random.Random, data: bytes) -> bytes:
    at, start = rng.randrange(len(data)), rng.randrange(len(data))
    return data[:at] + data[start : start + rng.randrange(40)] + data[at:]


def _drop(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randint(1, 8) :]


def _insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.choice((*RAW, rng.randbytes(rng.randint(1, 9)))) + data[at:]


_ON_BYTES: Final[tuple[Callable[[random.Random, bytes], bytes], ...]] = (
    *(_flip, _cut, _splice, _drop, _insert),
)

assert CATALOG_BODIES.keys() == CATALOG_COMMANDS.keys()
