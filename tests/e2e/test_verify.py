"""`meterd verify` and `meterd rebuild`, on real data, beside a service and without one."""

from __future__ import annotations

import csv
import os
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dateutil.relativedelta import relativedelta

from messages.subjects import PREFIX, request_subject
from persistence.chain.chain import LINK_BYTES, about_of
from persistence.chain.checksum import stamp
from persistence.records import Row
from persistence.sqlite.checked import COLUMNS
from tests.support.commands import run
from tests.support.meterd import METERD
from tests.support.raw import RawClient
from tests.support.service import ROOT, Service

TRACE = ROOT / "tests" / "traces" / "usage_conv.csv"
MAPPING = (
    *("--timestamps", "shift", "--map", "event_id=request_id", "--map", "model_used=model"),
    *("--map", "tokens_input=prompt_tokens", "--map", "tokens_output=completion_tokens"),
)
WAIT_S = 300.0
TRIGGERS = "DROP TRIGGER log_is_never_changed; DROP TRIGGER log_is_never_removed;"


def ask(client: RawClient, verb: str, user: str = "alice", **body: Any) -> Any:
    return client.request(request_subject(PREFIX, verb, user), body).json()


def use(client: RawClient) -> None:
    """What leaves events of many kinds."""
    for user in ("alice", "bob"):
        ask(client, "subscribe", user, plan="Pro", billing_cycle="monthly")
        for count in range(30):
            ask(client, "track", user, provider="openai", tokens_input=count)
        ask(client, "hold", user, provider="openai", event_id="h")
        ask(client, "track", user, provider="openai", hold_id="h")
        ask(client, "reset", user)
        ask(client, "track", user, provider="exa", cost=3)
    body = {"provider": "exa", "model": "new", "cost_per_search": 1}
    client.request(f"{PREFIX}.catalog.prices.put", body)


@pytest.fixture
def stopped(up: Service) -> Path:
    """The data of a service that has ended in order."""
    with RawClient(up.url) as client:
        use(client)
    assert up.terminate() == 0
    return up.data_dir


def edit(directory: Path, script: str) -> None:
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        db.executescript(TRIGGERS + script)


def test_nothing_differs_beside_a_running_service(up: Service, client: RawClient) -> None:
    use(client)
    code, report = run("verify", "--data-dir", str(up.data_dir), url=up.url)
    assert (code, report["differences"], report["live"]) == (0, [], 2)
    assert report["users"] == 2


def test_a_user_of_whom_no_call_is_logged_differs_in_nothing(
    up: Service, client: RawClient
) -> None:
    ask(client, "suspend", "carol")
    code, report = run("verify", "--data-dir", str(up.data_dir), url=up.url)
    assert (code, report["differences"], report["live"]) == (0, [], 1)


def test_nothing_differs_after_a_kill_and_a_start(up: Service, client: RawClient) -> None:
    use(client)
    up.kill()
    code, report = run("verify", "--data-dir", str(up.data_dir))
    assert (code, report["differences"], report["live"]) == (0, [], None)
    up.start()
    assert run("verify", "--data-dir", str(up.data_dir), url=up.url)[0] == 0


def test_a_byte_flipped_in_a_snapshot_is_named_and_the_service_recovers_from_the_log(
    stopped: Path, up: Service
) -> None:
    with closing(sqlite3.connect(stopped / "meterd.db")) as db:
        ((user, body),) = db.execute("SELECT user_id, body FROM snapshots WHERE user_id = 'bob'")
        at = body.index(b'"exa":[1,')
        changed = body[: at + 7] + b"7" + body[at + 8 :]
        db.execute("UPDATE snapshots SET body = ? WHERE user_id = ?", (changed, user))
        db.commit()
    code, report = run("verify", "--data-dir", str(stopped))
    assert code == 1
    (found,) = report["differences"]
    assert (found["user"], found["field"]) == ("bob", "snapshot")
    up.start()
    with RawClient(up.url) as client:
        assert ask(client, "stats", "bob")["provider_breakdown"]["exa"]["calls"] == 1
        assert ask(client, "stats")["total_calls"] == 1
    assert "snapshot_unreadable" in up.stderr


def test_a_row_changed_by_hand_is_found(stopped: Path) -> None:
    where = "kind = 'usage' AND user_id = 'alice'"
    edit(
        stopped,
        "UPDATE log SET body = json_set(body, '$.c', 1)"
        f" WHERE seq = (SELECT max(seq) FROM log WHERE {where})",
    )
    code, report = run("verify", "--data-dir", str(stopped))
    assert code == 1
    fields = {(found["user"], found["field"]) for found in report["differences"]}
    assert ("alice", "providers") in fields
    assert any(field.startswith("row") for user, field in fields if not user)


def test_a_removed_row_is_found(stopped: Path) -> None:
    edit(stopped, "DELETE FROM log WHERE seq = 5")
    code, report = run("verify", "--data-dir", str(stopped))
    assert code == 1
    assert report["differences"]


def test_a_summary_of_the_service_that_is_not_the_log_s_is_found_and_rebuilt(
    up: Service, client: RawClient
) -> None:
    """A row that is changed under a running service: its memory says what was."""
    use(client)
    edit(up.data_dir, "UPDATE log SET body = json_set(body, '$.c', 9) WHERE seq = 3")
    with closing(sqlite3.connect(up.data_dir / "meterd.db")) as db:
        fields = f"{COLUMNS}, proof, chain"
        (*columns, proof, stored) = db.execute(f"SELECT {fields} FROM log WHERE seq = 3").fetchone()
        row = Row._make((*columns[:6], columns[6] == 1, *columns[7:]))
        user = row.user
        # With a checksum that fits: else the service would not believe it.
        stamped = bytes(stamp(stored[:LINK_BYTES], row, about_of(row.personal, proof)))
        db.execute("UPDATE log SET chain = ? WHERE seq = 3", (stamped,))
        db.commit()
    ask(client, "track", user, provider="exa")
    code, report = run("verify", "--data-dir", str(up.data_dir), url=up.url)
    assert code == 1
    assert report["live"] == 2
    code, rebuilt = run("rebuild", user, "--yes", url=up.url)
    assert (code, rebuilt["user_id"]) == (0, user)
    assert rebuilt["changed"]
    code, rebuilt = run("rebuild", user, "--yes", url=up.url)
    assert not rebuilt["changed"]


def test_a_missing_or_unreadable_log_is_exit_code_2(tmp_path: Path) -> None:
    code, said = run("verify", "--data-dir", str(tmp_path / "nothing"))
    assert code == 2
    assert "there is no" in said
    (tmp_path / "meterd.db").write_bytes(b"no database" * 100)
    assert run("verify", "--data-dir", str(tmp_path))[0] == 2


def test_the_trace_over_a_subscription_that_renews_in_the_middle_verifies(up: Service) -> None:
    """Imported with its times, killed meanwhile: every call is in the period of its moment."""
    with TRACE.open(newline="") as source:
        rows = list(csv.DictReader(source))
    moments = [datetime.fromisoformat(row["timestamp"]) for row in rows]
    # Shifted so that the trace ends now; the period of two months ago began just so that a
    # boundary falls into its middle.
    shift = datetime.now(UTC) - max(moments)
    boundary = sorted(moments)[len(moments) // 2] + shift
    plan = {"plan": "Enterprise", "billing_cycle": "monthly", "auto_renew": True}
    with RawClient(up.url) as client:
        for user in sorted({row["user"] for row in rows}):
            body = {**plan, "period_start": whole_months_before(boundary).isoformat()}
            reply = ask(client, "subscribe", user, **body)
            assert datetime.fromisoformat(reply["subscription"]["current_period_start"]) == boundary
    with subprocess.Popen(
        [*METERD, "import", str(TRACE), *MAPPING],
        cwd=ROOT,
        env={**os.environ, "METERD_NATS_URL": up.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as importing:
        with RawClient(up.url) as client:
            while ask(client, "stats", "u0")["seq"] < 3_000:
                pass
        up.env["METERD_NATS_PORT"] = up.url.rpartition(":")[2]  # where the import looks for it
        up.kill()
        up.start()
        assert importing.wait(WAIT_S) == 0
    code, report = run("verify", "--data-dir", str(up.data_dir), url=up.url)
    assert (code, report["differences"]) == (0, [])
    with closing(sqlite3.connect(up.data_dir / "meterd.db")) as db:
        found = db.execute("SELECT late, timestamp FROM usage").fetchall()
        keys = db.execute("SELECT count(DISTINCT user_id || event_id) FROM usage").fetchone()[0]
    assert len(found) == keys == len(rows)
    counted = Counter(bool(late) for late, _ in found)
    assert min(counted[True], counted[False]) > len(rows) // 4
    assert all(bool(late) is (datetime.fromisoformat(at) < boundary) for late, at in found)
    up.kill()
    assert run("verify", "--data-dir", str(up.data_dir))[0] == 0


def whole_months_before(moment: datetime) -> datetime:
    """A start of periods one of which begins at the moment: of a 31st there is none each month."""
    counts = (relativedelta(months=months) for months in (1, 2))
    return next(moment - count for count in counts if moment - count + count == moment)


def test_damage_is_told_as_data_with_what_to_do_and_the_rest_is_looked_at(stopped: Path) -> None:
    """A page that is blank, a row that says something else, a filter that is none."""
    with closing(sqlite3.connect(stopped / "meterd.db")) as db:
        query = "SELECT seq, user_id, body FROM log WHERE kind = 'usage' ORDER BY seq"
        seq, user, body = db.execute(query).fetchall()[20]
    path = stopped / "meterd.db"
    content = bytearray(path.read_bytes())
    content[content.index(body.encode()) + 5] ^= 1
    path.write_bytes(content)
    (stopped / "keys.filter").write_bytes(b"no filter")
    code, report = run("verify", "--data-dir", str(stopped))
    assert code == 1
    assert (report["last"], report["users"]) == (report["rows"], 2)
    found = {one["field"]: one for one in report["differences"]}
    row = found[f"row {seq}"]
    assert {**row, "why": "", "days": []} == {
        "user": "",
        "period": "",
        "field": f"row {seq}",
        "why": "",
        "file": "meterd.db",
        "place": f"row {seq} of the log",
        "rows": [seq, seq],
        "users": [user],
        "days": [],
        "derived": False,
        "do": row["do"],
    }
    assert row["days"] == [datetime.now(UTC).date().isoformat()] * 2
    assert "meterd mend --backup" in row["do"]
    assert (found["keys"]["file"], found["keys"]["derived"]) == ("keys.filter", True)
    assert found["keys"]["do"].startswith("nothing: ")


def test_damage_is_named_beside_a_running_service_too(up: Service, client: RawClient) -> None:
    use(client)
    edit(up.data_dir, "UPDATE log SET at = at + 1 WHERE seq = 3")
    code, report = run("verify", "--data-dir", str(up.data_dir), url=up.url)
    assert (code, report["live"]) == (1, 2)
    assert {"row 3"} == {one["field"] for one in report["differences"] if not one["user"]}
    assert run("verify", "--data-dir", str(up.data_dir), "--chain")[0] == 1


def test_an_end_that_is_lost_is_a_finding_and_a_first_page_that_is_damaged_is_exit_code_2(
    stopped: Path,
) -> None:
    edit(stopped, "DELETE FROM log WHERE seq > (SELECT max(seq) - 3 FROM log)")
    code, report = run("verify", "--data-dir", str(stopped))
    last = report["rows"]
    (end,) = [one for one in report["differences"] if one["rows"] == [last + 1, last + 3]]
    assert code == 1
    assert "committed" in end["why"]
    path = stopped / "meterd.db"
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])
    code, said = run("verify", "--data-dir", str(stopped))
    assert code == 2
    assert "meterd.db cannot be opened" in said
    assert "mend" in said
    assert len(said.splitlines()) == 1
