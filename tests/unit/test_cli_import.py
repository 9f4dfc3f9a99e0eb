from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from messages.errors import RequestError
from messages.usage import TrackReply
from tests.support.answers import (
    TRACKED,
)
from tests.support.command_line import Serve, run

ROWS = "user,provider,prompt_tokens,team\nu1,openai,5,a\nu2,openai,x,b\nu3,acme,7,c\n"


def answer_import(_: str, body: dict[str, Any]) -> TrackReply:
    if body["provider"] == "acme":
        raise RequestError("unknown_provider", "no such provider", field="provider")
    return msgspec.structs.replace(TRACKED, tokens_used=body["tokens_input"])


@pytest.fixture
def usage_csv(tmp_path: Path) -> Path:
    path = tmp_path / "usage.csv"
    path.write_text(ROWS)
    return path


def test_an_import_reports_each_refused_row_and_ends_with_3(serve: Serve, usage_csv: Path) -> None:
    serve(answer_import)
    result = run("import", str(usage_csv), "--map", "tokens_input=prompt_tokens")
    assert result.exit_code == 3
    assert result.stderr.splitlines() == [
        "ignored columns: 'team'",
        "row 2 (line 3): tokens_input: not a whole number: 'x'",
        "row 3 (line 4): provider: unknown_provider: no such provider",
    ]
    found = json.loads(result.stdout)
    assert found["complete"] is True
    assert (found["rows"], found["refused"]) == (3, 2)
    assert found["counted"] == {"calls": 1, "tokens": 5, "cost": 0.000123}
    assert found["providers"]["acme"]["refused"] == 1


def test_an_import_of_rows_that_were_counted_before_ends_with_0(
    serve: Serve, usage_csv: Path
) -> None:
    serve(lambda *_: msgspec.structs.replace(TRACKED, duplicate=True))
    result = run("import", str(usage_csv), "--allow-empty")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["counted"]["calls"], found["duplicates"]["calls"]) == (0, 3)


def test_an_import_that_loses_the_service_says_what_is_settled_and_ends_with_1(
    serve: Serve, usage_csv: Path
) -> None:
    def answer(_: str, body: dict[str, Any]) -> TrackReply:
        if body["provider"] == "acme":
            raise RequestError("unavailable", "draining", retry_after=9)
        return TRACKED

    serve(answer)
    result = run("import", str(usage_csv), "--allow-empty", "--in-flight", "1")
    assert result.exit_code == 1
    assert "unavailable: draining; 2 rows are settled, a rerun goes on" in result.stderr
    assert json.loads(result.stdout)["complete"] is False


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--map", "colour=team"), "no field 'colour'"),
        (("--map", "tokens_input=tokens"), "no column 'tokens'"),
        (("--set", "cost=cheap"), "--set cost: not a number: 'cheap'"),
        (("--timestamps", "shift"), "no row has a timestamp"),
    ],
)
def test_an_import_with_wrong_options_sends_nothing_and_ends_with_2(
    serve: Serve, usage_csv: Path, options: tuple[str, ...], reason: str
) -> None:
    service = serve(answer_import)
    result = run("import", str(usage_csv), *options)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert service.asked == []


def test_an_import_of_a_missing_file_ends_with_2(tmp_path: Path) -> None:
    result = run("import", str(tmp_path / "none.csv"))
    assert result.exit_code == 2
    assert "No such file" in result.stderr


FOREIGN = "created_at,user_id,vendor,model,prompt_tokens,completion_tokens,request_id\n"
FOREIGN += "".join(
    f"2023-11-16T18:15:{n:02}Z,u{n},openai,gpt-4o,{n + 1},2,r{n}\n" for n in range(60)
)
USUAL = {
    "timestamp": "created_at",
    "user": "user_id",
    "provider": "vendor",
    "model_used": "model",
    "tokens_input": "prompt_tokens",
    "tokens_output": "completion_tokens",
    "event_id": "request_id",
}


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "foreign.csv"
    path.write_text(FOREIGN)
    return path


def test_an_import_that_would_count_nothing_is_refused_with_the_mapping_that_it_lacks(
    serve: Serve, foreign: Path
) -> None:
    service = serve(answer_import)
    result = run("import", str(foreign), "--set", "user=u", "--map", "provider=vendor")
    assert (result.exit_code, result.stdout, service.asked) == (2, "", [])
    assert "every row would count no tokens" in result.stderr
    assert "--map tokens_input=prompt_tokens" in result.stderr.splitlines()[-1]
    assert "--map model_used=model" in result.stderr.splitlines()[-1]


def test_columns_with_usual_names_are_taken_if_that_is_wanted(serve: Serve, foreign: Path) -> None:
    service = serve(answer_import)
    result = run("import", str(foreign), "--usual-names", "--timestamps", "now")
    assert result.exit_code == 0, result.stderr
    assert len(service.asked) == 60
    first = next(body for subject, body in service.asked if subject == "usage.v1.track.u0")
    first.pop("deadline")
    assert first == {
        "provider": "openai",
        "model_used": "gpt-4o",
        "tokens_input": 1,
        "tokens_output": 2,
        "event_id": "r0",
    }


def test_a_mapped_field_and_a_column_of_its_own_name_win_over_usual_names(
    serve: Serve, tmp_path: Path
) -> None:
    path = tmp_path / "both.csv"
    path.write_text("user,provider,tokens_input,prompt_tokens,a,output_tokens\nu,openai,1,2,3,4\n")
    service = serve(answer_import)
    options = ("--usual-names", "--map", "tokens_output=a")
    assert run("import", str(path), *options).exit_code == 0
    ((_, body),) = service.asked
    assert (body["tokens_input"], body["tokens_output"]) == (1, 3)


def test_calls_to_providers_paid_by_the_call_are_no_empty_rows(
    serve: Serve, tmp_path: Path
) -> None:
    path = tmp_path / "searches.csv"
    path.write_text("user,provider\nu,exa\n")
    service = serve(lambda *_: TRACKED)
    assert run("import", str(path)).exit_code == 0
    assert len(service.asked) == 1


def test_a_dry_run_sends_nothing_and_says_what_would_be_sent(serve: Serve, foreign: Path) -> None:
    service = serve(answer_import)
    options = ("--usual-names", "--dry-run", "--timestamps")
    result = run("import", str(foreign), *options, "shift")
    found = json.loads(result.stdout)
    assert (result.exit_code, service.asked, found["dry_run"]) == (0, [], True)
    assert found["mapping"] == USUAL
    assert found["counted"]["calls"] == found["users"] == 60
    assert found["counted"]["tokens"] == sum(range(1, 61)) + 120
    result = run("import", str(foreign), *options, "keep")
    assert (result.exit_code, json.loads(result.stdout)["refused"]) == (3, 60)
    assert "60 are older than 35 days: --timestamps shift" in result.stderr


@pytest.mark.parametrize(("options", "lines"), [((), 20), (("--refused-lines", "3"), 3)])
def test_lines_about_refused_rows_are_capped_and_old_rows_get_advice(
    serve: Serve, foreign: Path, options: tuple[str, ...], lines: int
) -> None:
    def refuse(*_: Any) -> object:
        raise RequestError("timestamp_out_of_range", "the call is too old", field="timestamp")

    serve(refuse)
    result = run("import", str(foreign), "--usual-names", *options)
    assert result.exit_code == 3
    *told, rest, advice = result.stderr.splitlines()
    assert len(told) == lines
    assert f"and {60 - lines} more refused: timestamp: timestamp_out_of_range" in rest
    assert "60 are older than 35 days: --timestamps shift" in advice
