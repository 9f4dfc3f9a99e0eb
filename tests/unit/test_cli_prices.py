"""`meterd prices import` and `check`, from the command line to the requests and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.billing.catalog.default_list import default_list
from actors.cli import prices
from actors.cli.importer.default_catalogue import LIST
from actors.cli.importer.errors import BadInput
from actors.cli.importer.pricelists import sources
from tests.support.command_line import Serve, run
from tests.support.fake_catalogue import Catalogue

LISTED = {
    "gpt-9": {
        "litellm_provider": "openai",
        "input_cost_per_token": 2.0000000000000002e-07,
        "output_cost_per_token": 1e-6,
        "new_cost": 1,
    },
    "groq/x": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 1e-6},
    "groq/free": {"litellm_provider": "groq", "mode": "chat"},
}


@pytest.fixture
def listed(tmp_path: Path) -> str:
    file = tmp_path / "list.json"
    file.write_text(json.dumps(LISTED))
    return str(file)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(datetime.now(UTC) - timedelta(seconds=5))


def imported(*args: str) -> Any:
    done = run("prices", "import", "--json", *args)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_the_report_says_what_was_put_and_what_was_not(
    serve: Serve, catalogue: Catalogue, listed: str
) -> None:
    serve(catalogue.answer_at)
    assert imported("--file", listed) == {
        "put": 2,
        "same": 0,
        "dry_run": False,
        "providers": ["groq"],
        "refused": {},
        "cleaned": {"input_cost_per_token": {"count": 1, "examples": ["openai gpt-9"]}},
        "left_out": {"new_cost": {"count": 1, "examples": ["openai gpt-9"]}},
        "skipped": {"no price": {"count": 1, "examples": ["groq/free"]}},
    }
    again = imported("--file", listed)
    assert (again["put"], again["same"], again["providers"]) == (0, 2, [])


def test_a_dry_run_puts_nothing_and_says_what_it_would(
    serve: Serve, catalogue: Catalogue, listed: str
) -> None:
    serve(catalogue.answer_at)
    report = imported("--file", listed, "--dry-run", "--provider", "groq")
    assert (report["put"], report["providers"], report["dry_run"]) == (1, ["groq"], True)
    assert {what for what, _ in catalogue.asked} == {"prices.list", "providers.list"}


def test_since_a_day_is_sent_as_its_first_instant(
    serve: Serve, catalogue: Catalogue, listed: str
) -> None:
    serve(catalogue.answer_at)
    assert imported("--file", listed, "--since", "2026-01-31")["put"] == 2
    june = datetime(2026, 1, 31, tzinfo=UTC)
    assert [row["effective_from"] for row in catalogue.rows] == [june, june]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--since", "yesterday"), "a day is written as 2026-01-31"),
        (("--since", "9999-01-01"), "the day is yet to come"),
        (("--file", "/nowhere"), "/nowhere"),
    ],
)
def test_an_option_that_cannot_be_used_is_said_and_nothing_is_asked(
    serve: Serve, catalogue: Catalogue, args: tuple[str, ...], said: str
) -> None:
    serve(catalogue.answer_at)
    done = run("prices", "import", *args)
    assert (done.exit_code, catalogue.asked) == (2, [])
    assert said in done.stderr


@pytest.mark.parametrize(("code", "exit_code"), [("invalid_request", 3), ("internal", 1)])
def test_what_is_not_put_ends_with_1_or_3_behind_the_report(
    serve: Serve, catalogue: Catalogue, listed: str, code: str, exit_code: int
) -> None:
    serve(catalogue.answer_at)
    catalogue.refuses = {"gpt-9": code}
    done = run("prices", "import", "--json", "--file", listed)
    assert done.exit_code == exit_code
    report = json.loads(done.stdout)
    assert report["put"] == len(catalogue.rows) <= 1
    assert bool(report["refused"]) is (exit_code == 3)


def test_a_file_that_is_too_large_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BYTES_MAX", 100)
    file = tmp_path / "list.json"
    file.write_bytes(b" " * 101)
    with pytest.raises(BadInput, match="over 100 bytes"):
        sources.text_of(file)


def test_the_check_ends_with_0_if_nothing_differs_and_with_5_if_anything_does(
    serve: Serve, catalogue: Catalogue
) -> None:
    serve(catalogue.answer_at)
    imported()
    done = run("prices", "check", "--json")
    report = json.loads(done.stdout)
    assert report["default"]["date"] == default_list().date
    assert report["default"]["source"].startswith("genai-prices ")
    assert (report["new"], report["changed"], report["vanished"]) == ({}, {}, {})
    assert done.exit_code == 0
    catalogue.rows[0]["cost_per_input_token"] = 1
    done = run("prices", "check")
    assert done.exit_code == 5
    assert json.loads(done.stdout)["changed"]


def test_an_import_over_the_default_list_of_the_same_package_puts_what_that_does_not_have(
    serve: Serve, catalogue: Catalogue
) -> None:
    whole = json.loads(LIST.read_bytes())
    date = datetime.fromisoformat(whole["date"]).replace(tzinfo=UTC)
    catalogue.providers += whole["providers"]
    for version, row in enumerate(whole["prices"], 1):
        since = row.get("effective_from")
        moment = date if since is None else datetime.fromisoformat(since)
        variant = row.get("variant", "")
        key = (row["provider"], row["model"], variant)
        catalogue.moments[key].append(moment)
        catalogue.rows.append(
            {**row, "variant": variant, "effective_from": moment, "version": version}
        )
    serve(catalogue.answer_at)
    report = imported()
    v1 = {
        (r["provider"], r["model"]) for r in json.loads(LIST.with_name("prices.json").read_bytes())
    }
    put = {(row["provider"], row["model"]) for row in catalogue.rows[len(whole["prices"]) :]}
    assert put <= v1
    assert report["same"] > 2_300
    assert report["providers"] == []


def test_without_the_package_the_check_says_how_old_the_default_is(
    serve: Serve, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise BadInput("no package")

    serve(catalogue.answer_at)
    monkeypatch.setattr(prices, "genai_providers", missing)
    done = run("prices", "check", "--json")
    assert (done.exit_code, catalogue.asked) == (0, [])
    report = json.loads(done.stdout)
    assert (report["installed"], sorted(report)) == (None, ["default", "installed"])
