"""What a caller is told about a body that is nearly right."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from messages import refusals
from messages.codec import HINTS_MAX, decode_batch, decode_command, decoder_of
from messages.errors import InvalidRequest, RequestError
from messages.refusals import NAME_MAX, closest, vocabulary
from messages.usage import Batch
from messages.verbs import BY_NAME, COMMANDS
from tests.support.turns import instructions


def told(verb: str, fields: dict[str, Any]) -> str:
    with pytest.raises(RequestError) as caught:
        decoder_of(verb)(json.dumps({**BY_NAME[verb].least, **fields}).encode())
    return caught.value.message


@pytest.mark.parametrize(
    ("verb", "fields", "meant"),
    [
        ("track", {"model": "gpt-4o"}, "model_used"),
        ("track", {"modle_used": "gpt-4o"}, "model_used"),
        ("track", {"token_input": 1}, "tokens_input"),
        ("track", {"prompt_tokens": 1}, "tokens_input"),
        ("enforce", {"model": "gpt-4o"}, "model_used"),
        ("enforce", {"tokens": 1}, "tokens_requested"),
        ("preflight", {"operations": [{"provider": "exa", "modelused": "x"}]}, "model_used"),
        ("hold", {"tll": 5}, "ttl"),
        ("subscribe", {"override": {}}, "overrides"),
        ("catalog.prices.put", {"cost_per_input_tokens": 1}, "cost_per_input_token"),
    ],
)
def test_an_unknown_field_is_told_what_was_probably_meant(
    verb: str, fields: dict[str, Any], meant: str
) -> None:
    assert told(verb, fields).endswith(f"; did you mean `{meant}`?")


@pytest.mark.parametrize("field", ["zzz", "x" * (NAME_MAX + 1), "model_used" * 6_000, "ttl"])
def test_an_unknown_field_that_is_dissimilar_or_too_long_gets_no_suggestion(
    field: str,
) -> None:
    assert "did you mean" not in told("track", {field: 1})


def test_a_field_of_another_place_is_not_told_to_be_itself() -> None:
    assert "did you mean `ttl`" not in told(
        "preflight", {"operations": [{"provider": "exa", "ttl": 5}], "hold": {"ttl": 5}}
    )


@pytest.mark.parametrize(
    ("verb", "fields", "allowed"),
    [
        ("subscribe", {"billing_cycle": "weekly"}, "monthly, yearly"),
        ("subscribe", {"period": "old"}, "keep, new"),
    ],
)
def test_a_wrong_value_of_a_few_is_told_all_that_are_allowed(
    verb: str, fields: dict[str, Any], allowed: str
) -> None:
    assert told(verb, fields).endswith(f"; allowed: {allowed}")


def test_every_field_with_a_few_values_is_known() -> None:
    found = {name: vocabulary(kind).values for name, kind in COMMANDS.items()}
    assert {name for name, values in found.items() if values} == {
        *("subscribe", "track", "logs", "enforce", "hold", "preflight"),
    }


def test_an_unknown_verb_is_told_a_similar_one() -> None:
    with pytest.raises(RequestError, match="did you mean `track`"):
        decode_command("tracks", b"")


def test_looking_for_a_similar_name_is_bounded_whatever_the_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []

    def counting(name: str, names: list[str], n: int) -> list[str]:
        looked.append(len(name) * sum(map(len, names)) * n)
        return []

    monkeypatch.setattr(refusals, "get_close_matches", counting)
    for length in (1, NAME_MAX, NAME_MAX + 1, 60_000):
        told("track", {"q" * length: 1})
    assert len(looked) == 2
    assert max(looked) < 30_000
    assert not closest("q" * 60_000, ["q" * 59_999])


def refused_events(names: list[str]) -> list[InvalidRequest]:
    events = [{"provider": "exa", name: 1} for name in names]
    batch = decode_command("batch", json.dumps({"events": events}).encode())
    assert isinstance(batch, Batch)
    return [cast("InvalidRequest", call) for call in decode_batch(batch)]


def test_of_a_batch_that_is_wrong_throughout_only_some_events_are_told_what_would_be_right() -> (
    None
):
    count = 400
    names = [f"tokens_inpu{number}" for number in range(count)]
    found: list[InvalidRequest] = []
    taken = instructions(lambda: found.extend(refused_events(names)))
    assert taken < 2_000 * count
    hinted = ["did you mean `tokens_input`?" in error.message for error in found]
    assert hinted == [True] * HINTS_MAX + [False] * (count - HINTS_MAX)
    assert [error.field for error in found] == names


def test_the_same_mistake_again_costs_no_second_look() -> None:
    costs = [instructions(lambda: closest("tokens_outputt", BY_NAME)) for _ in range(2)]
    assert costs[1] < costs[0] / 10
