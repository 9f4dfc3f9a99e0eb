"""Many periods that end at one moment: all are announced, each once, and others are answered.

``METERD_ENDS`` is how many; with 50,000 of them it prints what docs/performance.md says.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path

from messages.subjects import PREFIX, request_subject
from tests.support.ended import PERIOD, write_ended
from tests.support.nats import NatsServer
from tests.support.raw import RawClient
from tests.support.service import Service

USERS = int(os.environ.get("METERD_ENDS", "4000"))
WAIT_S = 60.0
MOST = USERS * 3 // 4
"""Between two answers: what ends in a virtual second is in tests/runtime/test_closing.py."""
STREAMS = ("METERD_EVENT_STREAM", "METERD_ALERT_STREAM")


class Listener:
    """Hears of every end, and asks for one other user all the while.

    Attributes:
        told: by user, the ids and bodies of what was published.
        most: the most ends that were published between two answers.
    """

    def __init__(self, client: RawClient) -> None:
        self.told: defaultdict[str, set[tuple[str, bytes]]] = defaultdict(set)
        self.most = self.answers = 0
        self._client = client
        client.subscribe(f"{PREFIX}.event.period_closed.>")

    def ask(self) -> None:
        """Ask once and wait for the answer; what was published meanwhile is counted."""
        subject = request_subject(PREFIX, "enforce", "other")
        answer = self._client.request(subject, {"provider": "exa"}, wait_s=WAIT_S)
        assert answer.json()["allowed"]
        self._client.replies.clear()
        self.answers += 1
        self.most = max(self.most, self.hear())

    def hear(self) -> int:
        """Take what was published; how many messages that were."""
        count = len(self._client.messages)
        while self._client.messages:
            message = self._client.messages.popleft()
            event = json.loads(message.body)
            assert event["billing_period"] == PERIOD
            assert event["stats"]["total_calls"] == 1
            self.told[event["user_id"]].add((message.headers["Nats-Msg-Id"], message.body))
        return count


def peak_of(service: Service) -> str:
    """The most memory that it has had so far, if the system says so."""
    status = Path(f"/proc/{service.pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((line.split(":")[1].strip() for line in lines if "VmHWM" in line), "unknown")


def test_all_that_ends_at_one_moment_is_announced_once_also_by_a_service_that_is_killed(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    users = asyncio.run(write_ended(tmp_path / "data", USERS))
    env = {"METERD_NATS_URL": nats_server.url, **dict.fromkeys(STREAMS, "off")}
    service = Service(tmp_path / "data", command="serve", env=env)
    with RawClient(nats_server.url) as client:
        listener = Listener(client)  # before anything can be published
        began = time.monotonic()
        service.start()
        while len(listener.told) < USERS // 3:
            listener.ask()
        service.kill()
        client.flush()
        listener.hear()
        killed_at = len(listener.told)
        service.start()
        while len(listener.told) < USERS:
            listener.ask()
        seconds, peak = time.monotonic() - began, peak_of(service)
        assert service.terminate() == 0
        client.flush()
        listener.hear()
    print(
        f"{USERS} ends, killed behind {killed_at}: {seconds:.1f} s, {listener.answers} answers,"
        f" at most {listener.most} ends between two, {peak} at the most"
    )
    assert sorted(listener.told) == sorted(users)
    assert {len(said) for said in listener.told.values()} == {1}  # said again, it is the same
    with closing(sqlite3.connect(tmp_path / "data" / "meterd.db")) as log:
        query = "SELECT count(*), count(DISTINCT user_id) FROM log WHERE kind = 'period_closed'"
        assert log.execute(query).fetchone() == (USERS, USERS)
    assert listener.most < MOST
