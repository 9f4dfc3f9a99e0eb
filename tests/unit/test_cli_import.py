from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from actors.cli.main import command_line
from messages.errors import RequestError
from messages.usage import TrackReply
from tests.support import answers
from tests.support.answers import (
    TRACKED,
    Answer,
    FakeService,
)

Serve = Callable[[Answer], FakeService]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    return partial(answers.serve, monkeypatch)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command_line(arguments), arguments)


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
    result = run("import", str(usage_csv))
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
    result = run("import", str(usage_csv), "--in-flight", "1")
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
