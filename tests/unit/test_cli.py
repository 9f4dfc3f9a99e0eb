from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console, RenderableType
from typer import Abort, BadParameter
from typer.testing import CliRunner

from actors.cli import commands, options, views
from actors.cli.main import command_line
from actors.cli.main import run as run_command_line
from actors.settings.config import Config
from messages.client.client import UsageClient
from messages.errors import NoService, RequestError
from messages.reports import LogsReply
from tests.support.answers import (
    REFUSED,
    RESET,
    STATS,
    TRACKED,
    entry_of,
)
from tests.support.command_line import Serve, run, started


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("METERD_")]:
        monkeypatch.delenv(name)


def test_track_sends_every_option_and_prints_the_exact_reply_as_json(serve: Serve) -> None:
    service = serve(lambda *_: TRACKED)
    result = run(
        *("track", "alice", "--provider", "openai", "--tokens-input", "100"),
        *("--cost", "0.010000001", "--timestamp", "2026-03-01T12:00:00Z", "--event-id", "k"),
        *("--metadata", "team=a", "--metadata", "job=b=c"),
    )
    assert result.exit_code == 0, result.output
    ((subject, body),) = service.asked
    assert subject == "usage.v1.track.alice"
    body.pop("deadline")
    assert body == {
        "provider": "openai",
        "tokens_input": 100,
        "cost": 0.010000001,
        "timestamp": "2026-03-01T12:00:00Z",
        "event_id": "k",
        "metadata": {"team": "a", "job": "b=c"},
    }
    assert '"cost":0.000123,' in result.stdout
    assert json.loads(result.stdout)["hold_status"] is None


def test_enforce_ends_with_4_if_the_call_is_not_allowed(serve: Serve) -> None:
    serve(lambda *_: REFUSED)
    result = run("enforce", "alice", "--provider", "openai", "--tokens-requested", "9")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["reason_code"] == "cost_limit_reached"


def test_enforce_ends_with_0_if_the_call_is_allowed(serve: Serve) -> None:
    serve(lambda *_: msgspec.structs.replace(REFUSED, allowed=True))
    assert run("enforce", "alice", "--provider", "openai").exit_code == 0


def test_reset_and_stats_print_their_replies(serve: Serve) -> None:
    service = serve(lambda subject, _: RESET if ".reset." in subject else STATS)
    assert json.loads(run("reset", "alice", "--reason", "renewal", "--yes").stdout)["reset"] is True
    assert json.loads(run("stats", "alice", "--period", "2026-03").stdout)["total_calls"] == 1234
    (_, reset), (_, stats) = service.asked
    assert reset["reason"] == "renewal"
    assert stats["billing_period"] == "2026-03"


def test_logs_follows_the_pages_up_to_the_limit(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_PAGE_MAX", 2)

    def answer(_: str, body: dict[str, Any]) -> LogsReply:
        first = int(body.get("cursor", "0"))
        entries = tuple(entry_of(first + i) for i in range(body["limit"]))
        total = None if first else 100
        return LogsReply(logs=entries, next_cursor=str(first + 2), total_count=total, seq=9)

    service = serve(answer)
    result = run("logs", "alice", "--limit", "5", "--provider", "openai")
    found = json.loads(result.stdout)
    assert [entry["event_id"] for entry in found["logs"]] == ["k-0", "k-1", "k-2", "k-3", "k-4"]
    assert (found["total_count"], found["seq"]) == (100, 9)
    assert [body["limit"] for _, body in service.asked] == [2, 2, 1]
    assert all(body["provider"] == "openai" for _, body in service.asked)


def test_an_error_of_the_service_is_one_line_with_code_and_field_and_exit_1(serve: Serve) -> None:
    def refuse(*_: Any) -> object:
        raise RequestError("unknown_provider", "there is no 'acme'", field="provider")

    serve(refuse)
    result = run("track", "alice", "--provider", "acme")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "meterd: unknown_provider: there is no 'acme' (field provider)\n"


def test_an_unknown_outcome_says_how_to_learn_it(serve: Serve) -> None:
    def fail(_: str, body: dict[str, Any]) -> object:
        raise RequestError("outcome_unknown", "the write failed", event_id=body["event_id"])

    serve(fail)
    result = run("track", "alice", "--provider", "openai", "--event-id", "k-9")
    assert result.exit_code == 1
    assert result.stderr.endswith("repeat it with --event-id k-9\n")


def test_no_connection_is_one_line_and_exit_1(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(url: str, **_: Any) -> UsageClient:
        raise NoService(f"cannot connect to {url}: refused")

    monkeypatch.setattr(UsageClient, "connect", connect)
    result = run("stats", "alice", "--url", "nats://example:1")
    assert result.exit_code == 1
    assert result.stderr == "meterd: cannot connect to nats://example:1: refused\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("track", "alice"),
        ("track", "alice", "--provider", "openai", "--cost", "cheap"),
        ("track", "alice", "--provider", "openai", "--timestamp", "yesterday"),
        ("track", "alice", "--provider", "openai", "--metadata", "team"),
        ("track", "alice", "--provider", "openai", "--colour", "red"),
        ("logs", "alice", "--limit", "0"),
        ("import",),
        ("import", "usage.csv", "--timestamps", "later"),
        ("refund", "alice"),
        ("up", "--port", "70000"),
    ],
)
def test_wrong_usage_is_exit_2(serve: Serve, arguments: tuple[str, ...]) -> None:
    service = serve(lambda *_: TRACKED)
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert service.asked == []


def test_a_wrong_setting_is_one_line_and_exit_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERD_NATS_PORT", "many")
    result = run("stats", "alice")
    assert result.exit_code == 2
    assert result.stderr.startswith("meterd: METERD_NATS_PORT='many'")
    assert result.stderr.count("\n") == 1


def test_version_and_help_name_the_product_and_every_command() -> None:
    assert run("--version").stdout.startswith("meterd ")
    listed = run("--help").stdout
    for name in ("up", "serve", "track", "enforce", "reset", "stats", "logs", "import"):
        assert f" {name} " in listed


def test_up_and_serve_run_the_service_with_their_settings_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs: list[tuple[Config, bool, int | None]] = []

    def fake_run(config: Config, *, embedded: bool, parent: int | None) -> int:
        runs.append((config, embedded, parent))
        return 7

    monkeypatch.setattr("actors.process.run", fake_run)
    assert started("up", "--port", "0", "--data-dir", str(tmp_path)) == 7
    assert started("serve", "--url", "nats://example:1") == 7
    (up, embedded, _), (serve, external, _) = runs
    assert (up.nats_port, up.data_dir, embedded) == (0, tmp_path, True)
    assert (serve.nats_url, external) == ("nats://example:1", False)
    # The command line that lists all verbs hands over to the same parser.
    assert CliRunner().invoke(command_line([]), ["up", "--port", "1"]).exit_code == 7
    assert (runs[-1][0].nats_port, runs[-1][1], runs[-1][2]) == (1, True, None)
    assert started("serve", "--with-parent") == 7
    assert runs[-1][2] == os.getppid()


@pytest.mark.parametrize(
    "arguments",
    [("up", "--port", "65536"), ("up", "--port", "-1"), ("up", "--url", "x"), ("serve", "more")],
)
def test_a_service_is_not_run_with_wrong_arguments(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr("actors.process.run", pytest.fail)
    assert started(*arguments) == 2


def test_a_wrong_setting_ends_a_service_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("METERD_LIVE_USERS_MAX", "many")
    assert started("up") == 2
    error = capsys.readouterr().err
    assert "METERD_LIVE_USERS_MAX" in error
    assert error.count("\n") == 1


@pytest.fixture(params=["typer", "rich"])
def base_install(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if one of the packages of the extra ``cli`` were not there."""
    for name in [name for name in sys.modules if name.startswith("actors.cli")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith(f"{request.param}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, request.param, None)


@pytest.mark.usefixtures("base_install")
def test_without_the_extra_a_command_says_which_one_to_install(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert started("stats", "alice") == 2
    error = capsys.readouterr().err
    assert "meterd[cli]" in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("base_install")
def test_bare_meterd_without_the_extra_lists_all_commands_and_ends_with_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert started() == 0
    assert "subscribe" in capsys.readouterr().out


@pytest.mark.usefixtures("base_install")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "up "), (("--help",), "serve "), (("-h",), "[cli]"), (("--version",), "meterd 0.")],
)
def test_without_the_extra_there_are_help_and_version_all_the_same(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert started(*arguments) == 0
    output = capsys.readouterr()
    assert said in output.out
    assert output.err == ""


def imported_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_a_service_holds_nothing_of_the_command_line() -> None:
    modules = imported_by("import actors.__main__, actors.cli.service, actors.process")
    assert "actors.app" in modules
    assert not modules & {"typer", "pydantic", "click", "actors.audit.verify"}


def test_a_verb_is_imported_without_what_only_other_verbs_need() -> None:
    modules = imported_by("from actors.cli.main import command_line; command_line(['track'])")
    assert "actors.cli.commands" in modules
    others = {"accounts", "admission", "importing", "prices", "report", "verify"}
    assert not modules & {f"actors.cli.{name}" for name in others}
    assert not modules & {"actors.process", "actors.audit.verify", "actors.cli.importer.rows"}


def rendered(view: RenderableType) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


def test_a_person_reads_money_without_exponents_and_text_is_never_markup() -> None:
    assert views.amount(Decimal("1E-9")) == "0.000000001"
    assert views.amount(Decimal("1234.500000000")) == "1,234.5"
    assert views.amount(Decimal("0E-9")) == "0"
    assert views.amount(1_000_000) == "1,000,000"
    summary = rendered(views.summary(STATS))
    assert "[red]model" in summary
    assert "of [monthly_cost]" in summary
    assert "exa" not in summary  # not used
    assert "98" in summary


def test_a_person_reads_why_a_call_is_refused() -> None:
    text = rendered(views.decided(REFUSED))
    assert "refused: The limit monthly_cost is reached (cost_limit_reached)" in text
    assert "4.9" in text


def test_a_person_reads_what_was_counted() -> None:
    assert "counted: openai, 418 tokens, 0.000123 USD" in rendered(views.tracked(TRACKED))
    again = msgspec.structs.replace(TRACKED, duplicate=True)
    assert "was counted before" in rendered(views.tracked(again))
    assert "start again" in rendered(views.reset_done(RESET))
    page = LogsReply(logs=(entry_of(1),), next_cursor=None, total_count=7, seq=1)
    assert "1 of 7 entries" in rendered(views.logged(page))


def test_an_override_is_a_number_or_none_which_lifts_the_limit() -> None:
    found = options.overrides(["openai_calls=5", "exa_calls=none", "monthly_cost=2.5"])
    assert found == {"openai_calls": 5, "exa_calls": None, "monthly_cost": Decimal("2.5")}
    with pytest.raises(BadParameter, match="limit=none"):
        options.overrides(["openai_calls"])


def test_ctrl_c_at_a_question_says_nothing_and_no_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        no = Abort()
        no.__context__ = KeyboardInterrupt()  # as typer does at a prompt
        raise no

    def refused(*_: object, **__: object) -> None:
        raise Abort

    asked: Any = interrupted
    assert run_command_line(asked, []) == 130
    assert capsys.readouterr().err == ""
    asked = refused
    assert run_command_line(asked, []) == 1
    assert capsys.readouterr().err == "meterd: not done\n"
