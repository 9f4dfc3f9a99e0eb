"""docs/nats.conf on a real server: each role against each subject, and the way in."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.settings.config import load
from actors.settings.nats_options import connect_options
from messages.client.client import UsageClient
from messages.errors import AnswerBlocked, NotPermitted
from messages.subjects import PARTITIONS, PREFIX, partition_of
from messages.verbs import CATALOG_COMMANDS, COMMANDS
from tests.support.meterd import METERD
from tests.support.nats import nats_server_binary
from tests.support.roles import (
    BODIES,
    CATALOG,
    INBOXES,
    PUBLISHERS,
    ROLES,
    STREAM,
    STREAMS,
    SUBSCRIBERS,
    UPKEEP,
    VERBS,
)
from tests.support.secured import CONFIG, ORIGIN, Secured, start_secured
from tests.support.service import ROOT, Service, ServiceEndedError
from tests.support.wire import Key, Message, RefusedError, Wire

NOT_ERRORS = {"unknown_hold", "unknown_price"}  # of what was never placed, or put


@dataclass
class Stage:
    """The server, the service on it, and whether there is the mapping."""

    secured: Secured
    service: Service
    mapping: bool


@pytest.fixture(scope="module", params=[True, False], ids=["mapping", "plain"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """`meterd serve` as the service of the document, which must end in order."""
    directory = tmp_path_factory.mktemp("secured")
    secured = start_secured(directory, mapping=request.param)
    try:
        with Service(directory / "data", command="serve", env=secured.env("service")) as service:
            yield Stage(secured, service, request.param)
            assert service.terminate() == 0
            refused = [line for line in service.stderr.splitlines() if "ermissions" in line]
            assert all("_INBOX_other" in line.replace("_inbox", "_INBOX") for line in refused)
    finally:
        secured.server.kill()


def role_and(*more: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("role", [*ROLES, *more])


def served(message: Message | None, name: str) -> bool:
    """Whether a request was let through; then it must be the service that answered."""
    if message is None:
        return False
    reply = message.json()
    code = reply["error"]["code"] if "error" in reply else None
    if name not in CATALOG_COMMANDS:
        assert "seq" in reply or code in NOT_ERRORS or name == "ack", (name, reply)
    else:
        assert code is None or code in NOT_ERRORS, (name, reply)
    return True


@role_and()
def test_a_role_may_use_its_verbs_and_no_other(stage: Stage, role: str) -> None:
    found, wanted = {}, {}
    with stage.secured.connect(role) as wire:
        for user in ("alice", "bob"):
            for verb in COMMANDS:
                subject = f"{PREFIX}.{verb}.{user}"
                found[subject] = served(wire.request(subject, BODIES.get(verb)), verb)
                wanted[subject] = verb in VERBS[role] and (role != "alice" or user == "alice")
    assert found == wanted
    assert len(found) == 40


@role_and()
def test_a_mapped_subject_lets_no_role_do_more(stage: Stage, role: str) -> None:
    right = partition_of("bob")
    with stage.secured.connect(role) as wire:
        for verb in COMMANDS:
            may = stage.mapping and verb in VERBS[role] and role != "alice"
            message = wire.request(f"{PREFIX}.p.{right}.{verb}.bob", BODIES.get(verb))
            assert served(message, verb) == may, verb
            message = wire.request(f"{PREFIX}.p.{(right + 1) % PARTITIONS}.{verb}.bob")
            assert (message is not None) == may, verb
            if message is not None:  # the server lets it through, the service does not
                assert message.json()["error"]["code"] in ("invalid_user", "invalid_request"), verb


@role_and()
def test_a_role_may_ask_of_the_catalogue_what_is_its_own(stage: Stage, role: str) -> None:
    with stage.secured.connect(role) as wire:
        found = {
            name
            for name in CATALOG_COMMANDS
            if served(wire.request(f"{PREFIX}.{name}", BODIES.get(name)), name)
        }
    assert found == CATALOG.get(role, set())


@role_and()
def test_only_the_admin_looks_after_the_service(stage: Stage, role: str) -> None:
    with stage.secured.connect(role) as wire:
        for subject in UPKEEP:
            message = wire.request(subject)
            assert (message is not None) == (role == "admin"), subject
            if message is not None:
                reply = message.json()
                found = reply.get("name"), reply.get("user_id"), bool({"users", "done"} & {*reply})
                assert found in {
                    ("meterd", None, False),
                    (None, "alice", False),
                    (None, None, True),
                }


@role_and()
def test_all_other_subjects_are_closed(stage: Stage, role: str) -> None:
    with stage.secured.connect(role) as wire:
        refused = {subject: wire.publish(subject) for subject in PUBLISHERS}
    assert {subject for subject, why in refused.items() if not why} == {
        subject for subject, who in PUBLISHERS.items() if role in who
    }
    assert all("Permissions Violation for Publish" in why for why in refused.values() if why)


@role_and()
def test_a_role_hears_what_is_for_it_and_nothing_else(stage: Stage, role: str) -> None:
    with stage.secured.connect(role) as wire:
        refused = {subject: wire.subscribe(subject) for subject in SUBSCRIBERS}
    assert {subject for subject, why in refused.items() if not why} == {
        subject for subject, who in SUBSCRIBERS.items() if role in who
    }
    assert all("Permissions Violation for Subscription" in why for why in refused.values() if why)


def test_a_dashboard_gets_the_alerts_of_every_user(stage: Stage) -> None:
    with stage.secured.connect("dashboard") as board, stage.secured.connect("app") as app:
        for user in ("carol", "dave=40example=2Ecom"):
            assert not board.subscribe(f"{PREFIX}.alert.{user}.>")
            for _ in range(20):
                app.request(f"{PREFIX}.track.{user}", {"provider": "tavily"})
            alert = board.wait(f"{PREFIX}.alert.{user}.tavily_calls.80")
            assert alert.json()["threshold_percentage"] == 80
    streamed = [
        json.loads(line) for line in stage.service.stderr.splitlines() if '"streamed"' in line
    ]
    assert {line["stream"] for line in streamed} == set(STREAMS)


def test_nobody_has_the_service_answer_where_he_may_not_publish_himself(stage: Stage) -> None:
    number = partition_of("victim")
    alert = f"{PREFIX}.alert.victim.openai_calls.80"
    others = [f"{PREFIX}.suspend.victim", f"{PREFIX}.p.{number}.suspend.victim"]
    others += ["_INBOX_other.x", f"$JS.API.STREAM.INFO.{STREAM}", "$SYS.REQ.SERVER.PING"]
    with stage.secured.connect("dashboard") as board, stage.secured.connect("app") as app:
        assert not board.subscribe(f"{PREFIX}.alert.victim.>")
        for reply in (alert, *others):
            assert not app.publish(f"{PREFIX}.enforce.mallory", {"provider": "exa"}, reply=reply)
        for _ in range(2):  # what was published before on this connection has arrived then
            served(app.request(f"{PREFIX}.enforce.victim", {"provider": "exa"}), "enforce")
        assert board.arrived() == []
        with stage.secured.connect("admin") as admin:
            message = admin.request(f"{PREFIX}.subscription.victim")
        assert message is not None
        assert message.json()["subscription"] is None


# -- the way in


def test_the_server_does_not_start_with_the_keys_of_the_document() -> None:
    command = [nats_server_binary(), "-c", str(CONFIG), "-t"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    assert "Not a valid public nkey" in done.stderr


@pytest.fixture(scope="module")
def secured(stage: Stage) -> Secured:
    return stage.secured


@role_and()
def test_a_role_comes_in_by_its_own_way_only(secured: Secured, role: str) -> None:
    signed = (secured.trust, secured.keys[role], INBOXES[role])
    ways = {"": secured.server.port, ORIGIN: secured.websocket}
    own = ORIGIN if role == "dashboard" else ""
    with Wire(ways.pop(own), *signed, origin=own) as wire:
        assert wire.publish("x")  # signed in, and refused this
    ((other, port),) = ways.items()
    with pytest.raises(RefusedError, match="Authorization"):
        Wire(port, *signed, origin=other)


@pytest.mark.parametrize("key", [None, Key()], ids=["no key", "another key"])
def test_nobody_comes_in_without_a_key_of_the_file(secured: Secured, key: Key | None) -> None:
    for port, origin in ((secured.server.port, ""), (secured.websocket, ORIGIN)):
        with pytest.raises(RefusedError, match="Authorization"):
            Wire(port, secured.trust, key, "_INBOX_app", origin=origin)


def test_a_socket_that_does_not_sign_in_is_closed_and_there_is_room_for_many(
    secured: Secured,
) -> None:
    with (
        socket.create_connection(("127.0.0.1", secured.server.port), 10) as plain,
        plain.makefile("rb") as lines,
    ):
        info = json.loads(lines.readline().removeprefix(b"INFO "))
        assert info["tls_required"]
        with secured.trust.wrap_socket(plain, server_hostname="127.0.0.1") as signed:
            said = b"".join(iter(lambda: signed.recv(4_096), b""))
    assert b"Authentication Timeout" in said
    assert int(re.findall(r"^max_connections: (\d+)", CONFIG.read_text(), re.MULTILINE)[0]) > 50_000


def test_a_page_of_another_site_does_not_come_in(secured: Secured) -> None:
    with pytest.raises(RefusedError, match="403"):
        secured.connect("dashboard", origin="https://elsewhere.example")


def test_the_server_is_known_by_its_certificate(secured: Secured) -> None:
    strict = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        Wire(secured.server.port, strict, secured.keys["app"], "_INBOX_app")
    with pytest.raises(ssl.SSLCertVerificationError):
        Wire(secured.websocket, strict, secured.keys["dashboard"], "_INBOX_dashboard", origin="x")


def test_the_system_account_is_another_one(secured: Secured) -> None:
    signed = (secured.trust, secured.keys["system"], "_INBOX_system")
    with Wire(secured.server.port, *signed) as wire:
        message = wire.request("$SYS.REQ.SERVER.PING")
        assert message is not None
        assert message.json()["server"]["name"] == "meterd-nats"
        message = wire.request(f"{PREFIX}.stats.alice")
        assert message is not None
        assert message.status == "503"  # nobody of METER hears it


def meterd(stage: Stage, role: str, *args: str, **env: str) -> tuple[int, str, str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
    done = subprocess.run(
        [*METERD, *args],
        cwd=ROOT,
        env={**environ, **stage.secured.env(role), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_commands_sign_in_with_their_settings(stage: Stage) -> None:
    code, said, error = meterd(stage, "app", "track", "erin", "--provider", "exa")
    assert (code, error) == (0, "")
    assert json.loads(said)["usage_logged"] is True
    assert meterd(stage, "reader", "stats", "erin")[0] == 0
    code, said, error = meterd(stage, "reader", "verify", "--data-dir", str(stage.service.data_dir))
    assert (code, error) == (0, "")
    assert json.loads(said)["live"] > 0
    assert meterd(stage, "admin", "rebuild", "erin", "--yes")[0] == 0


async def test_a_python_caller_signs_in_with_an_inbox_of_its_role(stage: Stage) -> None:
    config = load(stage.secured.env("app"))
    async with await UsageClient.connect(config.nats_url, **connect_options(config)) as client:
        reply = await client.track("frank", provider="exa")
        assert reply.usage_logged
        with pytest.raises(NotPermitted) as refused:
            await client.stats("frank")
        assert refused.value.subject == f"{PREFIX}.stats.frank"
        with pytest.raises(NotPermitted):
            await client.subscription("frank")
        found = await asyncio.gather(
            *(client.enforce("frank", provider="exa") for _ in range(20)),
            *(client.stats("frank") for _ in range(20)),
            return_exceptions=True,
        )
        kinds = [type(one).__name__ for one in found]
        assert kinds == ["EnforceReply"] * 20 + ["NotPermitted"] * 20
    options = {**connect_options(config), "inbox_prefix": "_INBOX_reader"}
    async with await UsageClient.connect(
        config.nats_url, budget_s=600, attempt_s=600, connect_s=5, **options
    ) as client:
        with pytest.raises(AnswerBlocked, match=r"_INBOX_reader\..*inbox prefix") as blocked:
            await client.track("frank", provider="exa", event_id="k")
        assert blocked.value.event_id == "k"
        with pytest.raises(NotPermitted, match="_INBOX_reader"):  # known, so it is not sent
            await client.track("frank", provider="exa")


def test_a_second_meterd_with_the_key_of_the_service_is_refused(
    stage: Stage, tmp_path: Path
) -> None:
    with pytest.raises(ServiceEndedError, match="another meterd"):
        Service(tmp_path / "data", command="serve", env=stage.secured.env("service")).start()
