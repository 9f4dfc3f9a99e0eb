"""What a caller imports: the public names, by either name of the package."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import messages

PUBLIC = {
    *("UsageClient", "outcomes", "__version__"),
    *("MeterdError", "RequestError", "InvalidRequest", "NoService", "NoAnswer"),
    *("NotPermitted", "AnswerBlocked"),
    *("TrackReply", "BatchReply", "ResetReply", "EnforceReply", "LimitState", "PreflightReply"),
    *("OperationReply", "Held", "HoldReply", "ReleaseReply", "HoldEntry", "HoldsReply"),
    *("StatsReply", "Usage", "PlanLimits", "LogsReply", "LogEntry", "TrendsReply"),
    *("ProviderTrend", "AlertsReply", "AlertReply", "AckReply", "DashboardReply", "Projections"),
    *("SubscriptionReply", "SubscriptionChangeReply", "SubscriptionState", "RenewalEntry"),
    *("UsageBefore", "PeriodNotice", "NamedUsage", "Estimated", "UnpricedReply", "UnpricedEntry"),
    *("TrackFields", "EnforceFields", "OperationFields", "PreflightHoldFields", "HoldFields"),
    *("ExtendFields", "SubscribeFields", "LogsFields"),
}
SUBMODULES = (
    *("errors", "codec", "client", "client.client", "client.fields", "client.replies"),
    "stored.events",
)


def ran(*arguments: str, cwd: Path) -> str:
    """What this interpreter prints, away from the checkout."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert {*messages.__all__, "__version__"} == PUBLIC
    for name in messages.__all__:
        assert getattr(messages, name).__name__ == name
    assert set(dir(messages)) >= PUBLIC


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="'messages' has no attribute 'Journal'"):
        messages.Journal  # noqa: B018 -- to ask is to raise


@pytest.mark.parametrize("name", SUBMODULES)
def test_in_a_checkout_meterd_is_messages_and_no_module_is_there_twice(name: str) -> None:
    meterd = importlib.import_module("meterd")
    ours = importlib.import_module(f"messages.{name}")
    before = ours.__spec__
    assert meterd is messages
    assert importlib.import_module(f"meterd.{name}") is ours
    assert ours.__spec__ is before
    assert ours.__name__ == f"messages.{name}"


def test_in_a_checkout_it_does_not_matter_which_name_is_imported_first(tmp_path: Path) -> None:
    code = """
from meterd.client.client import UsageClient as first
import messages.client.client, meterd
print(first is messages.client.client.UsageClient is meterd.UsageClient)
"""
    assert ran("-c", code, cwd=tmp_path) == "True\n"


@pytest.mark.parametrize("name", ["meterd", "messages"])
def test_types_bring_no_client_of_nats_along_and_the_client_does(tmp_path: Path, name: str) -> None:
    code = f"""
import sys
import {name}
print("msgspec" in sys.modules)
from {name} import StatsReply, TrackFields, RequestError
print("nats" in sys.modules)
from {name} import UsageClient
print("nats" in sys.modules)
"""
    assert ran("-c", code, cwd=tmp_path).split() == ["False", "False", "True"]


@pytest.mark.parametrize("start", ["script", "meterd", "actors"])
def test_a_checkout_has_the_command_wherever_it_is_called(tmp_path: Path, start: str) -> None:
    script = [str(Path(sys.executable).with_name("meterd"))]
    command = script if start == "script" else ["-m", start]
    assert ran(*command, "--version", cwd=tmp_path) == f"meterd {messages.__version__}\n"


def test_both_distributions_have_one_version_and_the_service_needs_its_client() -> None:
    assert metadata.version("meterd") == metadata.version("meterd-client") == messages.__version__
    assert f"meterd-client=={messages.__version__}" in (metadata.requires("meterd") or ())
