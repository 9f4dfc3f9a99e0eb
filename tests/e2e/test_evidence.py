"""`meterd checkpoint`, `verify --chain` and `forget`, beside a running service."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from messages.subjects import PREFIX, request_subject
from persistence.sqlite.high_water_mark import MARK
from tests.support.commands import run
from tests.support.raw import RawClient
from tests.support.service import Service

TRIGGERS = "DROP TRIGGER log_is_never_changed; DROP TRIGGER log_is_never_removed;"
ABOUT: dict[str, Any] = {
    "user_agent": "curl/8.7.1",
    "ip_address": "10.20.30.40",
    "metadata": {"team": "red"},
}


def use(client: RawClient, user: str = "alice", **about: object) -> None:
    for _ in range(5):
        body = {"provider": "openai", "tokens_input": 3, **about}
        client.request(request_subject(PREFIX, "track", user), body)


def test_an_auditor_who_holds_a_checkpoint_finds_what_was_done_to_the_log_since(
    up: Service, client: RawClient, tmp_path: Path
) -> None:
    data = ("--data-dir", str(up.data_dir))
    key = str(tmp_path / "key")
    code, public = run("checkpoint", "--key", key, "--new-key", text=True)
    assert code == 0
    use(client)
    code, checkpoint = run("checkpoint", "--key", key, *data)
    assert (code, checkpoint["public_key"]) == (0, public.strip())
    held = tmp_path / "held.json"
    held.write_text(json.dumps(checkpoint))
    use(client)
    with_it = ("verify", *data, "--checkpoint", str(held), "--public-key", public.strip())
    assert run(*with_it, url=up.url)[0] == 0
    code, report = run(*with_it, "--chain")
    assert (code, report["rows"], report["differences"]) == (0, report["last"], [])

    up.kill()
    (up.data_dir / MARK).unlink()  # whoever cuts the end off does that as well
    with closing(sqlite3.connect(up.data_dir / "meterd.db")) as db:
        db.executescript(TRIGGERS + f"DELETE FROM log WHERE seq > {checkpoint['seq'] - 1}")
    assert run("verify", "--chain", *data)[0] == 0  # by itself nobody can know
    code, report = run(*with_it, "--chain")
    assert code == 1
    assert report["differences"][0]["field"] == f"row {checkpoint['seq']}"


def test_an_invalid_checkpoint_is_exit_code_2_and_a_missing_key_1(
    up: Service, tmp_path: Path
) -> None:
    (tmp_path / "held.json").write_text("{}")
    data = ("--data-dir", str(up.data_dir))
    code, said = run("verify", *data, "--checkpoint", str(tmp_path / "held.json"))
    assert code == 2
    assert "is no checkpoint" in said
    code, said = run("checkpoint", *data, "--key", str(tmp_path / "gone"))
    assert code == 1
    assert "No such file" in said


def test_a_forgotten_user_s_totals_stay_and_the_log_is_whole(
    up: Service, client: RawClient
) -> None:
    use(client, **ABOUT)
    use(client, "bob", **ABOUT)
    before = client.request(request_subject(PREFIX, "stats", "alice"), {}).json()
    code, reply = run("forget", "alice", "--yes", url=up.url)
    assert (code, reply["rows"]) == (0, 5)
    assert client.request(request_subject(PREFIX, "stats", "alice"), {}).json() == before
    files = b"".join(file.read_bytes() for file in up.data_dir.glob("meterd.db*"))
    assert files.count(b"10.20.30.40") == 5  # bob's
    code, report = run("verify", "--data-dir", str(up.data_dir), url=up.url)
    assert (code, report["differences"], report["live"]) == (0, [], 2)
    assert up.terminate() == 0
    assert run("verify", "--data-dir", str(up.data_dir))[0] == 0
