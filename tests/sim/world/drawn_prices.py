"""What few calls say of their tokens, and prices, as clients draw them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any, Final

from tests.sim.model.reference import SECOND
from tests.sim.world.drawn import MODELS

VARIANTS: Final = ("batch", "batch", "flex")
FACTORS: Final = ("us", "fast", "nowhere")
PARTS: Final = ("input_audio", "output_image", "cache_read_audio", "cache_write_long")
PRICED: Final = ("input_token", "output_token", "request", "search")


def of_a_call(rng: Random) -> dict[str, Any]:
    """What few calls say; now and then more of a part than there is."""
    if rng.random() < 0.7:
        return {}
    names = rng.sample(PARTS, rng.randrange(1, 4))
    drawn: dict[str, Callable[[], Any]] = {
        "tokens_input": lambda: rng.randrange(60, 300),
        "tokens_output": lambda: rng.randrange(30, 300),
        "tokens_cache_read": lambda: rng.randrange(20),
        "tokens_cache_write": lambda: rng.randrange(20),
        "image_count": lambda: rng.randrange(3),
        "token_parts": lambda: {name: rng.randrange(9) for name in names},
        "token_counting": lambda: rng.choice(["inclusive", "exclusive"]),
        "price_variant": lambda: rng.choice(VARIANTS),
        "price_factors": lambda: rng.sample(FACTORS, rng.randrange(1, 3)),
    }
    return {name: draw() for name, draw in drawn.items() if rng.random() < 0.4}


def to_put(rng: Random, now: int) -> dict[str, Any]:
    """A put of a price without its provider; some are refused."""

    def usd() -> Decimal:
        return Decimal(rng.randrange(10**7)).scaleb(-12)

    costs = {f"cost_per_{unit}": usd() for unit in rng.sample(PRICED, rng.randint(1, 3))}
    drawn: dict[str, Callable[[], Any]] = {
        "effective_from": lambda: now + rng.choice([-9, 1, 60, 86_400]) * SECOND,
        "variant": lambda: rng.choice(VARIANTS),
        "tiers": lambda: [
            {"above_input_tokens": bound, "cost_per_input_token": usd()}
            for bound in sorted(rng.sample(range(300), 2))
        ],
        "token_parts": lambda: {name: usd() for name in rng.sample(PARTS, 2)},
        "units": lambda: {"seconds": {"usd": usd(), "per": 60}, "characters": usd()},
        "multipliers": lambda: {"us": Decimal("1.1"), "fast": 6},
        "aliases": lambda: rng.sample(["other", "GPT-4o"], 1),
    }
    model = rng.choice([*MODELS, "gpt-4o-mini", "exa-search", "default"])
    said = {name: draw() for name, draw in drawn.items() if rng.random() < 0.4}
    return {"model": model, **costs, **said}


def to_cancel(rng: Random, put: list[dict[str, Any]], now: int) -> dict[str, Any]:
    """An end of a price that was put with a moment, if there is one."""
    known = [body for body in put if "effective_from" in body]
    body = rng.choice(known) if known else {"provider": "exa", "model": "m"}
    named = {name: body[name] for name in ("provider", "model", "variant") if name in body}
    return {**named, "effective_from": body.get("effective_from", now)}
