"""docs/protocol.md says what the code does."""

import re
from pathlib import Path

import msgspec
import pytest

from messages.admission import (
    HoldEntry,
    LimitState,
    OperationReply,
)
from messages.catalog import (
    PlanEntry,
    UnitEntry,
    UserEntry,
)
from messages.errors import ERRORS
from messages.prices import (
    PriceEntry,
    UnpricedEntry,
)
from messages.reports import (
    AlertReply,
    LogEntry,
)
from messages.subscriptions import SubscriptionState
from messages.verbs import CATALOG_COMMANDS, CATALOG_VERBS, COMMANDS, VERBS

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
REPLIES = {verb.name: verb.reply for verb in VERBS}
CATALOG_REPLIES = {verb.name: verb.reply for verb in CATALOG_VERBS}


def section(verb: str) -> str:
    return PAGE.split(f"### `{verb}`\n")[1].split("\n### ")[0].split("\n## ")[0]


def names(line: str) -> list[str]:
    return re.findall(r"`([a-z_]+)`", line)


def test_the_error_table_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d+) \| (yes|no) \| (.*) \|$", PAGE, re.MULTILINE)

    documented = {code: (int(n), yes == "yes", text) for code, n, yes, text in rows}
    assert documented == {
        code: (row.number, row.retryable, row.meaning) for code, row in ERRORS.items()
    }


def test_every_verb_has_a_section_and_no_other_has() -> None:
    documented = re.findall(r"^### `([a-z_]+)`$", PAGE, re.MULTILINE)

    assert documented == list(COMMANDS)


@pytest.mark.parametrize("verb", list(COMMANDS))
def test_a_verbs_table_names_the_fields_of_its_request(verb: str) -> None:
    documented = re.findall(r"^\| `([a-z_]+)` \|.*\| (.*) \|$", section(verb), re.MULTILINE)

    fields = msgspec.structs.fields(COMMANDS[verb])
    assert [name for name, _ in documented] == [field.name for field in fields]
    required = {name for name, default in documented if default == "required"}
    assert required == {field.name for field in fields if field.required}


@pytest.mark.parametrize("verb", list(COMMANDS))
def test_a_verbs_reply_line_names_the_fields_of_its_reply(verb: str) -> None:
    line = re.search(r"^Reply: (.*?)\.( |$)", section(verb), re.MULTILINE)

    assert line is not None
    assert names(line[1]) == list(REPLIES[verb].__struct_fields__)


def test_the_catalogue_s_table_names_the_fields_of_each_request_and_reply() -> None:
    rows = re.findall(r"^\| `(catalog\.[a-z.]+)` \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)

    assert {what: (names(asked), names(answered)) for what, asked, answered in rows} == {
        what: (list(command.__struct_fields__), list(CATALOG_REPLIES[what].__struct_fields__))
        for what, command in CATALOG_COMMANDS.items()
    }


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        ("- A plan: ", PlanEntry),
        ("- A price: ", PriceEntry),
        ("- A unit: ", UnitEntry),
        ("- A user: ", UserEntry),
        ("- A row of `prices.unpriced`: ", UnpricedEntry),
        ("- Each of `operations`: ", OperationReply),
        ("- `subscription`: ", SubscriptionState),
        ("Each of `holds`: ", HoldEntry),
    ],
)
def test_the_parts_of_replies_are_described_field_by_field(
    begin: str, kind: type[msgspec.Struct]
) -> None:
    line = next(line for line in PAGE.splitlines() if line.startswith(begin))

    described = re.split(r"[.;]| of ", line.removeprefix(begin))[0]
    assert names(described) == list(kind.__struct_fields__)


def test_limits_and_alerts_are_described_field_by_field() -> None:
    limit = re.search(r"Each of `limits`: (.*?)\.$", PAGE, re.MULTILINE)
    alert = re.search(r"^An alert: (.*?)\.$", PAGE, re.MULTILINE)

    assert limit is not None
    assert alert is not None
    assert names(limit[1]) == list(LimitState.__struct_fields__)
    assert names(alert[1]) == list(AlertReply.__struct_fields__)


def test_a_log_entry_has_every_field_of_track_but_the_deadline() -> None:
    asked = set(COMMANDS["track"].__struct_fields__) - {"deadline"}

    assert asked <= set(LogEntry.__struct_fields__)
