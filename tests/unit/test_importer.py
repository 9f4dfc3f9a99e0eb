from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.cli.importer.errors import BadInput, BadValue, RowRefused
from actors.cli.importer.mapping import FieldMap
from actors.cli.importer.plan import ImportPlan, Timestamps
from actors.cli.importer.rows import LINE_BYTES_MAX, InputRow, format_of
from actors.cli.importer.values import CONVERTERS, exact, moment, number, pairs, text, whole
from messages.usage import Track

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Read:
    """A file that was planned and read to its end."""

    def __init__(
        self,
        path: Path,
        content: str | bytes,
        mapped: tuple[str, ...] = (),
        constants: tuple[str, ...] = (),
        timestamps: Timestamps = Timestamps.KEEP,
    ) -> None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.ignored: list[list[str]] = []
        self.refused: list[tuple[int, int, str]] = []
        fields = FieldMap(mapped, constants, self.ignored.append)
        plan = ImportPlan(path, format_of(path), fields, timestamps, NOW)
        self.usages = list(plan.usages(self._refuse))

    def _refuse(self, row: InputRow, error: RowRefused) -> None:
        self.refused.append((row.number, row.line, str(error)))

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [usage.body for usage in self.usages]


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    return tmp_path / "usage.csv"


@pytest.fixture
def jsonl_file(tmp_path: Path) -> Path:
    return tmp_path / "usage.jsonl"


def test_every_field_of_track_can_be_imported() -> None:
    fields = {field.name for field in msgspec.structs.fields(Track)}
    assert set(CONVERTERS) == fields - {"deadline"} | {"user"}


def test_columns_fill_fields_by_option_and_by_name_and_the_others_are_named_once(
    csv_file: Path,
) -> None:
    read = Read(
        csv_file,
        "user,provider,model,prompt_tokens,team,color\n"
        "u1,openai,gpt-4o-mini,374,a,b\n"
        "u2,mistral,,396,c,d\n",
        mapped=("model_used=model", "tokens_input=prompt_tokens"),
        constants=("endpoint=/v1/chat", "metadata.source=import"),
    )
    assert read.ignored == [["team", "color"]]
    first, second = read.usages
    assert (first.user, second.user) == ("u1", "u2")
    assert {**first.body, "event_id": None} == {
        "provider": "openai",
        "model_used": "gpt-4o-mini",
        "tokens_input": 374,
        "endpoint": "/v1/chat",
        "metadata": {"source": "import"},
        "event_id": None,
    }
    assert "model_used" not in second.body  # an empty cell is an absent field


def test_an_option_wins_over_a_column_of_the_same_name(csv_file: Path) -> None:
    read = Read(
        csv_file,
        "user,provider,tokens_input,n\nu1,openai,1,2\n",
        mapped=("tokens_input=n",),
        constants=("provider=mistral",),
    )
    assert read.bodies[0]["tokens_input"] == 2
    assert read.bodies[0]["provider"] == "mistral"
    assert read.ignored == [["provider", "tokens_input"]]


def test_one_column_may_fill_two_fields(csv_file: Path) -> None:
    read = Read(csv_file, "id,provider\nx,openai\n", mapped=("user=id", "event_id=id"))
    assert (read.usages[0].user, read.bodies[0]["event_id"]) == ("x", "x")


@pytest.mark.parametrize(
    ("mapped", "constants", "reason"),
    [
        (("tokens=prompt_tokens",), (), "no field 'tokens'"),
        (("deadline=x",), (), "no field 'deadline'"),
        ((), ("colour=red",), "no field 'colour'"),
        (("tokens_input",), (), "write field=column"),
        ((), ("provider=",), "write field=value"),
        (("cost=a", "cost=b"), (), "twice"),
        (("cost=a",), ("cost=1",), "in --map and in --set"),
        ((), ("tokens_input=many",), "--set tokens_input: not a whole number: 'many'"),
        ((), ("event_id=x",), "needs an event_id of its own"),
        (("tokens_input=missing",), (), "no column 'missing'"),
    ],
)
def test_an_option_that_does_not_fit_is_bad_input_before_anything_is_sent(
    csv_file: Path, mapped: tuple[str, ...], constants: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        Read(csv_file, "user,provider,a,b\nu1,openai,1,2\n", mapped, constants)


def test_a_mapped_column_of_json_lines_may_come_late_but_not_never(jsonl_file: Path) -> None:
    content = '{"user":"u","provider":"openai"}\n{"user":"u","provider":"openai","n":3}\n'
    assert Read(jsonl_file, content, ("tokens_input=n",)).bodies[1]["tokens_input"] == 3
    with pytest.raises(BadInput, match="no column 'tokens'"):
        Read(jsonl_file, content, ("tokens_input=tokens",))


@pytest.mark.parametrize("column", ["user", "provider"])
def test_a_file_that_gives_no_user_or_provider_is_bad_input(csv_file: Path, column: str) -> None:
    rest = {"user": "provider", "provider": "user"}[column]
    with pytest.raises(BadInput, match=f"no column for {column}"):
        Read(csv_file, f"{rest}\nx\n")


@pytest.mark.parametrize("name", ["usage.csv", "usage.jsonl"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_bad_input(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(BadInput, match="empty"):
        Read(tmp_path / name, content)


def test_a_header_without_rows_is_nothing_to_do(csv_file: Path) -> None:
    assert Read(csv_file, "user,provider\n").usages == []


def test_a_missing_file_and_an_unknown_format_are_bad_input(tmp_path: Path) -> None:
    fields = FieldMap((), (), lambda _: None)
    with pytest.raises(BadInput, match="No such file"):
        ImportPlan(tmp_path / "none.csv", "csv", fields, Timestamps.KEEP, NOW)
    with pytest.raises(BadInput, match="--format"):
        format_of(tmp_path / "usage.txt")


def test_utf_16_and_a_doubled_column_are_bad_input(csv_file: Path) -> None:
    with pytest.raises(BadInput, match="UTF-16"):
        Read(csv_file, "user,provider\n".encode("utf-16"))
    with pytest.raises(BadInput, match="more than once: user"):
        Read(csv_file, "user,provider,user\n")


def test_byte_order_mark_crlf_blank_lines_and_quoted_newlines_are_read(csv_file: Path) -> None:
    read = Read(
        csv_file,
        b"\xef\xbb\xbfuser,provider,error_message\r\n"
        b'u1,openai,"first\r\nsecond, ""quoted"""\r\n'
        b"\r\n"
        b"u2, openai,\r\n",
    )
    assert read.bodies[0]["error_message"] == 'first\r\nsecond, "quoted"'
    assert read.bodies[1]["provider"] == "openai"
    assert [(usage.row.number, usage.row.line) for usage in read.usages] == [(1, 2), (2, 5)]


def test_a_bad_row_of_csv_is_refused_alone_with_its_number_line_and_reason(csv_file: Path) -> None:
    read = Read(
        csv_file,
        b"user,provider,tokens_input,cost\n"
        b"u1,openai,1,0.1\n"
        b"u2,openai,1.0,0.1\n"
        b"u3,openai,1,$5\n"
        b"u4,openai,1\n"
        b"u5,openai,1,0.1,9\n"
        b'u6,"open"ai,1,0.1\n'
        b",openai,1,0.1\n"
        b"u8,,1,0.1\n"
        b"u\xff9,openai,1,0.1\n" + b"u10,openai,1," + b"9" * LINE_BYTES_MAX + b"\nu11,openai,2,\n",
    )
    assert read.refused == [
        (2, 3, "tokens_input: not a whole number: '1.0'"),
        (3, 4, "cost: not a number: '$5'"),
        (4, 5, "3 cells where the header has 4"),
        (5, 6, "5 cells where the header has 4"),
        (6, 7, "not CSV: ',' expected after '\"'"),
        (7, 8, "user: missing"),
        (8, 9, "provider: missing"),
        (9, 10, "user: not UTF-8"),
        (10, 11, f"a line is over {LINE_BYTES_MAX} bytes"),
    ]
    assert [usage.user for usage in read.usages] == ["u1", "u11"]


def test_a_quote_that_is_never_closed_refuses_what_it_swallows(csv_file: Path) -> None:
    read = Read(csv_file, 'user,provider\nu1,openai\nu2,"openai\nu3,openai\n')
    assert [usage.user for usage in read.usages] == ["u1"]
    assert [refused[:2] for refused in read.refused] == [(2, 3)]


def test_bytes_that_are_not_utf_8_spoil_only_the_rows_that_use_them(csv_file: Path) -> None:
    read = Read(csv_file, b"user,provider,city\nu1,openai,Z\xfcrich\nu2,openai,Bern\n")
    assert [usage.user for usage in read.usages] == ["u1", "u2"]


def test_a_bad_line_of_json_is_refused_alone(jsonl_file: Path) -> None:
    good = b'{"user": "u%d", "provider": "openai"}\n'
    read = Read(
        jsonl_file,
        good % 1
        + b'{"user": "u2", "provider"\n'
        + b"[1, 2]\n"
        + b'{"user": "\xff", "provider": "openai"}\n'
        + b"[" * 100_000
        + b"\n"
        + b'{"user": "u6", "provider": "openai", "response_time": NaN}\n'
        + b'{"user": "u7", "provider": "openai", "tokens_input": 374.0}\n'
        + b'{"user": "u8", "provider": "openai", "tokens_input": true}\n'
        + b'{"user": "\\ud800", "provider": "openai"}\n'
        + b'{"user": "u10", "provider": "openai", "cost": 1e99999999999999999999}\n'
        + b" " * (LINE_BYTES_MAX + 1)
        + b"\n\n"
        + good % 12,
    )
    assert [usage.user for usage in read.usages] == ["u1", "u12"]
    reasons = {number: reason for number, _, reason in read.refused}
    assert list(reasons) == list(range(2, 12))
    assert reasons[2].startswith("not JSON: ")
    assert reasons[3] == "not a JSON object"
    assert reasons[4] == "not UTF-8"
    assert reasons[5] == "nested too deep"
    assert reasons[6] == "not JSON: NaN is not a JSON number"
    assert reasons[7] == "tokens_input: not a whole number: 374.0"
    assert reasons[8] == "tokens_input: not a whole number: True"
    assert reasons[9] == "user: not UTF-8"
    assert reasons[10] == "a number is out of range"
    assert reasons[11] == f"the line is over {LINE_BYTES_MAX} bytes"


def test_json_values_keep_their_types_and_null_is_absent(jsonl_file: Path) -> None:
    line = {
        "user": 42,
        "provider": "openai",
        "tokens_input": "374",
        "model_used": None,
        "method": "",
        "response_time": 1,
        "metadata": {"a": "b"},
        "metadata.c": "d",
    }
    usage = Read(jsonl_file, json.dumps(line)).usages[0]
    assert usage.user == "42"
    assert {**usage.body, "event_id": None} == {
        "provider": "openai",
        "tokens_input": 374,
        "response_time": 1.0,
        "metadata": {"a": "b", "c": "d"},
        "event_id": None,
    }


@pytest.mark.parametrize("name", ["usage.csv", "usage.jsonl"])
def test_money_never_passes_through_a_binary_float(tmp_path: Path, name: str) -> None:
    cost = "0.1000000000000000055511151231257827021181583404541015625"
    content = {
        "usage.csv": f"user,provider,cost\nu,openai,{cost}\n",
        "usage.jsonl": f'{{"user":"u","provider":"openai","cost":{cost}}}\n',
    }[name]
    assert Read(tmp_path / name, content).bodies[0]["cost"] == Decimal(cost)


def test_a_derived_key_is_the_same_again_and_differs_between_rows_and_headers(
    csv_file: Path,
) -> None:
    rows = "u,openai\nu,openai\n"
    first, second = (body["event_id"] for body in Read(csv_file, f"user,provider\n{rows}").bodies)
    again = [body["event_id"] for body in Read(csv_file, f"user,provider\n{rows}").bodies]
    other = [body["event_id"] for body in Read(csv_file, f"provider,user\n{rows}").bodies]
    assert again == [first, second]
    assert len({first, second, *other}) == 4
    assert len(first) <= 128


def test_a_derived_key_stays_when_a_bad_row_before_it_is_repaired(csv_file: Path) -> None:
    header = "user,provider\n"
    before = Read(csv_file, f'{header}u1,"open"ai\nu2,openai\n').bodies
    after = Read(csv_file, f"{header}u1,openai\nu2,openai\n").bodies
    assert before[-1]["event_id"] == after[-1]["event_id"]


TIMES = """\
user,provider,timestamp
u1,openai,2023-11-16T19:00:00.5Z
u2,openai,
u3,openai,2023-11-16T20:00:00+01:00
u4,openai,yesterday
u5,openai,2023-11-16T18:00:00
"""


def test_kept_times_are_the_times_of_the_rows(csv_file: Path) -> None:
    read = Read(csv_file, TIMES)
    assert [body.get("timestamp") for body in read.bodies] == [
        datetime(2023, 11, 16, 19, 0, 0, 500_000, tzinfo=UTC),
        None,
        datetime(2023, 11, 16, 19, tzinfo=UTC),
    ]
    assert [reason for _, _, reason in read.refused] == [
        "timestamp: not a time of RFC 3339: 'yesterday'",
        "timestamp: has neither Z nor an offset: '2023-11-16T18:00:00'",
    ]


def test_shifted_times_keep_their_distances_and_end_now(csv_file: Path) -> None:
    read = Read(csv_file, TIMES, timestamps=Timestamps.SHIFT)
    assert [body.get("timestamp") for body in read.bodies] == [
        NOW,
        None,
        NOW - timedelta(seconds=0.5),
    ]


def test_with_now_the_times_are_dropped(csv_file: Path) -> None:
    read = Read(csv_file, TIMES, timestamps=Timestamps.NOW)
    assert all("timestamp" not in body for body in read.bodies)


def test_a_shift_without_any_time_is_bad_input(csv_file: Path) -> None:
    with pytest.raises(BadInput, match="no row has a timestamp"):
        Read(csv_file, "user,provider\nu,openai\n", timestamps=Timestamps.SHIFT)


@pytest.mark.parametrize(
    ("convert", "value", "expected"),
    [
        (whole, " 12 ", 12),
        (whole, "12\x1f", 12),
        (whole, "-3", -3),
        (exact, "1e-9", Decimal("1e-9")),
        (exact, ".5", Decimal("0.5")),
        (exact, 5, Decimal(5)),
        (number, "0.25", 0.25),
        (text, 7, "7"),
        (pairs, '{"a": "b"}', {"a": "b"}),
        (moment, "2026-03-01T12:00:00Z", NOW),
    ],
)
def test_a_value_that_fits_is_converted(convert: Any, value: object, expected: object) -> None:
    assert convert(value) == expected


@pytest.mark.parametrize(
    ("convert", "value"),
    [
        (whole, "1_000"),
        (whole, "\u0661"),
        (whole, "9" * 30),
        (whole, 2**64),
        (whole, "1e3"),
        (whole, Decimal(1)),
        (exact, "nan"),
        (exact, "inf"),
        (exact, "1e9999999"),
        (exact, True),
        (number, "1e999"),
        (text, Decimal(1)),
        (text, {}),
        (pairs, "[1]"),
        (pairs, "{"),
        (pairs, {"a": {}}),
        (moment, 1700000000),
        (moment, "2026-03-01"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(convert: Any, value: object) -> None:
    with pytest.raises(BadValue):
        convert(value)
