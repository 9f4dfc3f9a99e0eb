"""Whatever a file holds: each row is taken or refused, and nothing else ever comes out."""

from __future__ import annotations

import itertools
import json
import random
import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.cli.importer.errors import BadInput, BadValue, RowRefused
from actors.cli.importer.mapping import FieldMap
from actors.cli.importer.plan import ImportPlan, PlannedCall, Timestamps
from actors.cli.importer.pricelists.genai import read_genai_prices
from actors.cli.importer.pricelists.litellm import read_litellm
from actors.cli.importer.pricelists.puts import planned
from actors.cli.importer.pricelists.report import as_json, lines
from actors.cli.importer.pricelists.rows import PriceList
from actors.cli.importer.pricelists.sending import Sent
from actors.cli.importer.rows import InputRow
from actors.cli.importer.values import CONVERTERS
from messages.codec import encode_reply
from tests.support.acceptable import problems_of_providers, problems_of_rows
from tests.support.mutations import ENVELOPE, RAW, mutated

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIGITS = 5_000

seeds = st.integers(0, 2**63)
times = st.sampled_from(list(Timestamps))
cells = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", '"', '""', "openai", "u1", "1e999999", "9" * DIGITS, "-0", "1_0", "٣"]),
    st.sampled_from(["2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"]),
    st.sampled_from(['{"a": "b"}', '{"a": 1e5}', "[" * 3_000, '{"a":' * 3_000, '{"\\ud800": 1}']),
)
columns = st.one_of(
    st.sampled_from([*CONVERTERS, "metadata.team", "metadata.", "", " user "]), st.text(max_size=9)
)


def read(
    name: str, content: bytes, timestamps: Timestamps
) -> tuple[list[PlannedCall], list[RowRefused]]:
    """All rows of a file, those that are sent and those that are refused."""
    refused: list[tuple[InputRow, RowRefused]] = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / name
        path.write_bytes(content)
        fields = FieldMap((), (), lambda names: None)
        plan = ImportPlan(path, path.suffix[1:], fields, timestamps, NOW)
        usages = list(plan.usages(lambda row, error: refused.append((row, error))))
    return usages, [error for _, error in refused]


def taken_or_refused(name: str, content: bytes, timestamps: Timestamps) -> None:
    """The declared errors only; what is taken can be sent, and the same file has the same keys."""
    try:
        usages, refused = read(name, content, timestamps)
    except BadInput:
        return
    for usage in usages:
        assert usage.user.encode() is not None
        assert isinstance(usage.body["provider"], str)
        json.loads(encode_reply(usage.body))
    for refusal in refused:
        field = refusal.field
        assert field is None or field in CONVERTERS or "metadata" in field
        assert str(refusal).startswith(field or "")
    again, _ = read(name, content, timestamps)
    assert [u.body["event_id"] for u in again] == [u.body["event_id"] for u in usages]


@given(st.binary(max_size=300), st.sampled_from(["x.csv", "x.jsonl"]), times)
def test_a_file_of_any_bytes_is_read_or_refused(
    content: bytes, name: str, timestamps: Timestamps
) -> None:
    taken_or_refused(name, content, timestamps)


@given(
    st.lists(columns, min_size=1, max_size=6),
    st.lists(st.lists(cells, max_size=7), max_size=4),
    st.sampled_from([b"", b"\xff", b"\xef\xbb\xbf", b"\x00", b'"', b"\r"]),
    times,
)
def test_a_row_of_csv_is_taken_or_refused_with_its_field(
    header: list[str], rows: list[list[str]], odd: bytes, timestamps: Timestamps
) -> None:
    lines = [",".join(["user", "provider", *header])]
    lines += [",".join(["u1", "openai", *row]) for row in rows]
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    taken_or_refused("x.csv", content + odd + b"\nu2,openai", timestamps)
    taken_or_refused("x.csv", odd + content, timestamps)


@given(seeds, st.booleans(), times)
def test_a_line_of_json_that_is_nearly_right_is_taken_or_refused_with_its_field(
    seed: int, cloud: bool, timestamps: Timestamps
) -> None:
    rng = random.Random(seed)
    head = json.dumps(ENVELOPE)[:-1] + ', "data": ' if cloud else '{"user": "u1", "a": '
    lines = []
    for _ in range(5):
        body = mutated(rng, "track").replace(b"\n", b" ")
        # As it is, in an envelope, and with another field in front.
        plain = b'{"user": "u1", ' + body[1:]
        lines += [body, head.encode() + body + b"}", plain]
    taken_or_refused("x.jsonl", b"\n".join(lines), timestamps)


def why_refused(field: str, value: object) -> str:
    try:
        CONVERTERS[field](value)
    except BadValue as error:
        return str(error)
    return ""


@given(st.sampled_from(sorted(CONVERTERS)), st.one_of(cells, st.sampled_from(RAW)))
def test_a_cell_is_converted_or_refused_by_a_value_error_of_ours(
    field: str, cell: str | bytes
) -> None:
    values: list[object] = [cell]
    try:
        values.append(json.loads(cell, parse_float=Decimal))
    except (ValueError, ArithmeticError, RecursionError):
        values.append([cell])
    for value in values:
        assert why_refused(field, value).isascii()


def checked(found: PriceList) -> None:
    """Every row can be put, and whatever is left out can be said."""
    assert problems_of_rows(row.body() for row in found.rows) == []
    assert problems_of_providers(one.body() for one in found.providers) == []
    plan = planned(found, {}, [], NOW)
    for body in itertools.chain(plan.providers, *plan.prices.values()):
        json.loads(encode_reply(body))
    report = as_json(found, Sent([]), 0, dry_run=True)
    assert list(lines(json.loads(encode_reply(report))))
    assert all(report["left_out"])


PRICE = '{"m": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": %s}}'


@given(
    st.one_of(
        st.text(max_size=80), st.sampled_from(RAW).map(lambda raw: PRICE % raw.decode("latin-1"))
    )
)
@example('{"a":' * 100_000)
@example("[" * 100_000)
@example(PRICE % "1e99999999999999999999")
@example(PRICE % "NaN")
@example(PRICE % "-1e-300000")
@example(PRICE % ("9" * DIGITS))
@example('{"\\ud800": {"litellm_provider": "openai", "input_cost_per_token": 1}}')
def test_a_price_list_of_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read_litellm(text)
    except BadInput:
        return
    checked(found)


KEYS = (
    *("input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost"),
    *("input_cost_per_token_above_128k_tokens", "input_cost_per_token_above_128k_tokens_flex"),
    *("output_cost_per_token_above_0_tokens", "input_cost_per_token_batches"),
    *("input_cost_per_audio_token", "output_cost_per_image_token", "output_cost_per_image"),
    *("input_cost_per_second", "output_cost_per_second", "input_cost_per_pixel", "rules"),
    *("search_context_cost_per_query", "provider_specific_entry", "tiered_pricing", "alias_of"),
    *("fedramp_uplift_multiplier", "ocr_cost_per_page", "annotation_cost_per_page", "\ud800"),
    *("input_cost_per_query", "input_cost_per_token_cache_hit", "file_search_cost_per_1k_calls"),
    *("input_cost_per_token_above_999999999999k_tokens", "input_cost_per_token_flex"),
)
RANGES: tuple[object, ...] = (
    [{"range": [0, 5], "input_cost_per_token": 1e-6}, {"range": [5, 9], "input_cost_per_token": 1}],
    [{"range": [0, 1e300], "input_cost_per_token": 1}, 1],
    [{"range": ["0", None]}],
    [{"max_results_range": [0, 25], "input_cost_per_query": 0.1}],
    [{"max_results_range": 1}],
    [{"range": [n, n + 1], "input_cost_per_token": n} for n in range(9)],
)
VALUES: tuple[object, ...] = (
    *(1e-6, 0, 2.0000000000000002e-07, 1.5e-13, -1, 10**30, 1e300, True, None, "1e-6", "x"),
    *([], {}, [1], {"us": 1.1, "fast": 1e9, "eu": "1"}, {"search_context_size_medium": 0.01}),
    *({"search_context_size_medium": [0.01], "x": None}, {"\ud800": 1}, *RANGES),
)
NAMES = ("", "é", "sample_spec", "openai/", "openai/m", "256-x-256/d", "search", "x" * 300)


@given(seeds)
def test_a_price_list_that_is_nearly_right_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)

    def entry() -> dict[str, object]:
        return {
            "litellm_provider": rng.choice(
                ["openai", "openai", "exa_ai", "tavily", "xai", "fireworks_ai", "no-bo-dy", None, 1]
            ),
            "mode": rng.choice(["chat", "search", "image_generation", "ocr", None, 1, {}]),
            **{key: rng.choice(VALUES) for key in rng.sample(KEYS, rng.randrange(len(KEYS)))},
        }

    text = json.dumps({"m": entry(), rng.choice(NAMES): entry(), rng.choice(NAMES): entry()})
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(text))
        text = (
            text[:at] + rng.choice(["", "9", "-", "e", "}", "1e9", '"', "\ud800"]) + text[at + 1 :]
        )
    try:
        found = read_litellm(text)
    except BadInput:
        return
    checked(found)


@pytest.mark.parametrize("base", ["0.0000001", "NaN", "1E+30", "-1", "Infinity"])
def test_a_price_of_the_package_that_no_row_can_say_is_named(base: str) -> None:
    prices = SimpleNamespace(input_mtok=Decimal(base), output_mtok=SimpleNamespace(base=Decimal(1)))
    model = SimpleNamespace(id="m", prices=prices)
    providers = [SimpleNamespace(id="openai", models=[model])]
    found = read_genai_prices(providers, date(2026, 1, 1))
    checked(found)
    assert ("openai", "m", "input_mtok") in found.left_out
