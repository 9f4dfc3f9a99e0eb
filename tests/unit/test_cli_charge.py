"""What a call counts and how it is priced, on the command line."""

from __future__ import annotations

import inspect
from decimal import Decimal
from importlib import import_module
from typing import Any, Final

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from actors.cli import shelves, views
from actors.cli.charge import OPTIONS
from actors.cli.verbs import VERBS as PLACES
from messages.admission import Enforce, Hold
from messages.dimensions import COUNT_FIELDS, PART_NAMES
from messages.prices import EstimateCost, EstimateReply
from messages.usage import Track
from tests.support.answers import REFUSED, TRACKED
from tests.support.command_line import Serve, run, started
from tests.unit.test_cli_catalogue import at_80

ESTIMATED = EstimateReply(
    cost=Decimal("0.01"),
    cost_input=Decimal("0.01"),
    cost_output=Decimal(),
    tokens_input=9,
    tokens_output=0,
    priced="catalog",
    unpriced=("gpu_seconds",),
    seq=1,
)
VERBS: Final[dict[tuple[str, ...], type[Struct]]] = {
    ("track", "alice"): Track,
    ("enforce", "alice"): Enforce,
    ("hold", "alice"): Hold,
    ("estimate",): EstimateCost,
}
NOT_FOR_HERE: Final = {"deadline"}
"""The client sets it, by ``--timeout``."""


def answer(subject: str, _: dict[str, Any]) -> object:
    if "estimate" in subject:
        return ESTIMATED
    return TRACKED if ".track." in subject else REFUSED


@pytest.fixture(params=VERBS, ids=lambda verb: verb[0])
def verb(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


def test_all_that_is_said_of_counts_and_price_is_sent(serve: Serve, verb: tuple[str, ...]) -> None:
    service = serve(answer)
    counts = {field: 10 + place for place, field in enumerate(COUNT_FIELDS)}
    said = [f"--{field.replace('_', '-')}={count}" for field, count in counts.items()]
    said += [f"--token-part={part}=1" for part in PART_NAMES]
    said += ["--token-counting=exclusive", "--price-variant=batch"]
    said += ["--price-factor=eu", "--price-factor=fast"]
    run(*verb, "--provider", "openai", *said)
    ((_, body),) = service.asked
    wanted = {
        **counts,
        "token_parts": dict.fromkeys(PART_NAMES, 1),
        "token_counting": "exclusive",
        "price_variant": "batch",
        "price_factors": ["eu", "fast"],
    }
    assert wanted.keys() == OPTIONS.keys()
    assert {name: body[name] for name in wanted} == wanted


def test_what_is_not_said_is_not_sent_and_a_zero_is(serve: Serve, verb: tuple[str, ...]) -> None:
    service = serve(answer)
    run(*verb, "--provider", "openai", "--search-count", "0")
    ((_, body),) = service.asked
    assert {name: body[name] for name in OPTIONS if name in body} == {"search_count": 0}


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ("--token-part=input_smell=1", "one of input_audio"),
        ("--token-part=input_audio", "write key=value"),
        ("--token-part=input_audio=1.5", "a whole number"),
        ("--token-part=input_audio=-1", "a whole number"),
        (f"--token-part=input_audio={'9' * 5_000}", "a whole number"),
        ("--token-counting=beside", "one of inclusive, exclusive"),
    ],
)
def test_a_wrong_word_or_number_is_refused_with_what_is_allowed(
    serve: Serve,
    capsys: pytest.CaptureFixture[str],
    verb: tuple[str, ...],
    said: str,
    allowed: str,
) -> None:
    service = serve(answer)
    assert started(*verb, "--provider", "openai", said) == 2
    error = capsys.readouterr().err
    assert allowed in error
    assert error.count("\n") == 1
    assert service.asked == []


def test_every_field_of_a_request_has_an_option(verb: tuple[str, ...]) -> None:
    place = PLACES[verb[0]]
    command = getattr(import_module(f"actors.cli.{place.module}"), place.name)
    offered = inspect.signature(command).parameters.keys()
    fields = {field.name for field in msgspec.structs.fields(VERBS[verb])}
    assert fields - offered == NOT_FOR_HERE


def test_people_see_what_had_no_price() -> None:
    for shown in (
        views.decided(replace(REFUSED, unpriced=("gpu_seconds",))),
        views.decided(replace(REFUSED, limits=(), unpriced=("gpu_seconds",))),
        views.tracked(replace(TRACKED, unpriced=("gpu_seconds",))),
        shelves.estimated(ESTIMATED),
    ):
        assert "without a price: gpu_seconds" in at_80(shown)
    assert "without a price" not in at_80(views.decided(REFUSED))
