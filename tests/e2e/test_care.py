"""`meterd backup`, `restore` and `snapshot`, beside a running service."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from actors.user.actor import PASSIVATION_EVENTS
from messages.subjects import PREFIX, request_subject
from tests.support.commands import WAIT_S, run
from tests.support.raw import RawClient
from tests.support.service import Service


def track(client: RawClient, user: str, event_id: str) -> bool:
    body = {"provider": "openai", "tokens_input": 3, "event_id": event_id}
    return bool(client.request(request_subject(PREFIX, "track", user), body).json()["duplicate"])


def test_a_service_on_a_copy_that_was_made_under_load_knows_all_from_before(
    up: Service, tmp_path: Path
) -> None:
    copy, over, sent = tmp_path / "copy.db", threading.Event(), list[str]()

    def load() -> None:
        with RawClient(up.url) as client:
            while not over.is_set():
                track(client, "alice", f"k{len(sent)}")
                sent.append(f"k{len(sent)}")

    loading = threading.Thread(target=load)
    loading.start()
    while len(sent) < 50:
        pass
    before = list(sent)
    code, copied = run("backup", str(copy), "--data-dir", str(up.data_dir))
    over.set()
    loading.join(WAIT_S)
    assert (code, copied["rows"]) == (0, copied["seq"])
    with RawClient(up.url) as client:
        assert track(client, "alice", sent[-1])
    assert up.terminate() == 0

    restored = tmp_path / "restored"
    assert run("restore", str(copy), "--yes", "--data-dir", str(restored)) == (0, copied)
    assert run("verify", "--data-dir", str(restored))[0] == 0
    with Service(restored) as service:
        with RawClient(service.url) as client:
            assert all(track(client, "alice", key) for key in before)
            assert not track(client, "alice", "new")
        assert run("verify", "--data-dir", str(restored), url=service.url)[0] == 0


def test_a_copy_over_a_file_or_a_log_is_refused_in_one_line(up: Service, tmp_path: Path) -> None:
    data, file = ("--data-dir", str(up.data_dir)), str(tmp_path / "copy.db")
    assert run("backup", file, *data)[0] == 0
    for command, why in (("backup", "is there already"), ("restore", "is held by process")):
        sure = ("--yes",) if command == "restore" else ()
        code, said = run(command, file, *data, *sure)
        assert (code, why in said, said.count("\n")) == (1, True, 1)


def test_a_directory_in_use_is_known_as_such_though_its_lock_file_was_removed(
    up: Service, client: RawClient, tmp_path: Path
) -> None:
    track(client, "alice", "k1")
    data, file = ("--data-dir", str(up.data_dir)), str(tmp_path / "copy.db")
    assert run("backup", file, *data)[0] == 0
    (up.data_dir / "meterd.lock").unlink()
    code, said = run("restore", file, *data, "--yes")
    assert (code, "is held by another process" in said) == (1, True)
    code, report = run("verify", *data, url=up.url)
    assert (code, report["live"]) == (0, 1)
    looks = run("doctor", *data, url=up.url)[1]["findings"]
    assert next(look["what"] for look in looks if "rows up to" in look["what"]).endswith(", in use")


def test_live_users_are_written_on_demand(up: Service, client: RawClient) -> None:
    for user in ("alice", "bob"):
        for count in range(PASSIVATION_EVENTS):
            track(client, user, f"k{count}")
    code, found = run("snapshot", url=up.url)
    assert code == 0, found
    assert found["users"] == 2
    with closing(sqlite3.connect(up.data_dir / "meterd.db")) as db:
        users = {user for (user,) in db.execute("SELECT user_id FROM snapshots")}
    assert users == {"alice", "bob"}
