"""Services discovery as ADR-32 of the NATS architecture records describes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from messages.subjects import PREFIX, request_subject
from messages.verbs import CATALOG_COMMANDS, COMMANDS
from tests.support.raw import RawClient
from tests.support.service import Service

NAME = re.compile(r"[A-Za-z0-9_-]+")
SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)
RFC3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
VERBS = ["PING", "INFO", "STATS"]


@pytest.fixture
def client(service: Service) -> Iterator[RawClient]:
    with RawClient(service.url) as client:
        yield client


def check_strings(found: Any) -> None:
    """Metadata is an object of strings, never null."""
    assert isinstance(found, dict)
    assert all(isinstance(value, str) for pair in found.items() for value in pair)


def check_identity(found: dict[str, Any], kind: str, *more: str) -> None:
    assert set(found) == {"type", "name", "id", "version", "metadata", *more}
    assert found["type"] == f"io.nats.micro.v1.{kind}_response"
    assert found["name"] == "meterd"
    assert NAME.fullmatch(found["name"])
    assert isinstance(found["id"], str)
    assert NAME.fullmatch(found["id"])
    assert SEMVER.fullmatch(found["version"])
    check_strings(found["metadata"])
    assert found["metadata"]["contract"] == "1.1"
    assert "providers" in found["metadata"]["capabilities"].split(",")


def check_subject(found: Any) -> None:
    assert isinstance(found, str)
    assert re.fullmatch(r"[^\s.]+(\.[^\s.]+)*", found)


def check_endpoint(found: dict[str, Any]) -> None:
    assert set(found) == {"name", "subject", "queue_group", "metadata"}
    assert NAME.fullmatch(found["name"])
    check_subject(found["subject"])
    assert NAME.fullmatch(found["queue_group"])
    check_strings(found["metadata"])


def check_endpoint_stats(found: dict[str, Any]) -> None:
    assert set(found) == {
        *("name", "subject", "queue_group", "num_requests", "num_errors", "last_error"),
        *("processing_time", "average_processing_time", "data"),
    }
    assert NAME.fullmatch(found["name"])
    check_subject(found["subject"])
    assert NAME.fullmatch(found["queue_group"])
    for name in ("num_requests", "num_errors", "processing_time", "average_processing_time"):
        assert type(found[name]) is int
        assert found[name] >= 0
    assert isinstance(found["last_error"], str)


def test_ping_is_a_ping_response(client: RawClient) -> None:
    check_identity(client.request("$SRV.PING").json(), "ping")


def test_info_is_an_info_response_with_one_endpoint_per_verb(client: RawClient) -> None:
    info = client.request("$SRV.INFO").json()
    check_identity(info, "info", "description", "endpoints")
    assert isinstance(info["description"], str)
    for endpoint in info["endpoints"]:
        check_endpoint(endpoint)
    assert {e["name"]: e["subject"] for e in info["endpoints"]} == {
        **{verb: f"{PREFIX}.{verb}.*" for verb in COMMANDS},
        **{verb.replace(".", "_"): f"{PREFIX}.{verb}" for verb in CATALOG_COMMANDS},
    }


def test_stats_is_a_stats_response_that_counts(client: RawClient) -> None:
    before = client.request("$SRV.STATS").json()
    client.request(request_subject(PREFIX, "track", "alice"), {"provider": "exa"})
    client.request(request_subject(PREFIX, "track", "alice"), {"provider": 1})
    stats = client.request("$SRV.STATS").json()
    check_identity(stats, "stats", "started", "endpoints")
    assert RFC3339_UTC.fullmatch(stats["started"])
    assert datetime.fromisoformat(stats["started"]).tzinfo is not None
    assert stats["started"] == before["started"]
    for endpoint in stats["endpoints"]:
        check_endpoint_stats(endpoint)
    counted = {e["name"]: (e["num_requests"], e["num_errors"]) for e in stats["endpoints"]}
    earlier = {e["name"]: (e["num_requests"], e["num_errors"]) for e in before["endpoints"]}
    assert counted.pop("track") == (earlier["track"][0] + 2, earlier.pop("track")[1] + 1)
    assert counted == earlier
    (track,) = (e for e in stats["endpoints"] if e["name"] == "track")
    assert "invalid_request" in track["last_error"]
    assert 0 < track["average_processing_time"] <= track["processing_time"]


def test_info_and_stats_name_the_same_endpoints(client: RawClient) -> None:
    found = [client.request(f"$SRV.{verb}").json()["endpoints"] for verb in ("INFO", "STATS")]
    assert [(e["name"], e["subject"]) for e in found[0]] == [
        (e["name"], e["subject"]) for e in found[1]
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_answered_for_all_for_the_name_and_for_the_id(
    client: RawClient, verb: str
) -> None:
    first = client.request(f"$SRV.{verb}").json()
    for tail in ("meterd", f"meterd.{first['id']}"):
        again = client.request(f"$SRV.{verb}.{tail}").json()
        assert [again["type"], again["id"]] == [first["type"], first["id"]]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("tail", ["other", "METERD", "meterd.other", "meterd.x.y"])
def test_nobody_answers_for_others(client: RawClient, verb: str, tail: str) -> None:
    assert client.request(f"$SRV.{verb}.{tail}").status == "503"


@pytest.mark.parametrize("verb", VERBS)
def test_every_instance_answers(service: Service, verb: str, tmp_path: Any) -> None:
    env = {"METERD_NATS_URL": service.url, "METERD_PREFIX": "other.v1"}
    with (
        Service(tmp_path / "data", command="serve", env=env),
        RawClient(service.url) as client,
    ):
        number = client.post(f"$SRV.{verb}.meterd")
        client.wait_until(lambda: len(client.replies.get(number, ())) == 2)
        found = [reply.json() for reply in client.replies[number]]
    assert len({one["id"] for one in found}) == 2
    assert {one["metadata"]["prefix"] for one in found} == {PREFIX, "other.v1"}
