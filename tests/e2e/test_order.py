"""One user's requests of one connection take effect in the order in which they were sent."""

from __future__ import annotations

import random
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest

from messages.subjects import PREFIX, encode_user, partition_of, request_subject
from tests.support.mixed import check_order, draw, post_all
from tests.support.nats import start_nats_server
from tests.support.raw import RawClient
from tests.support.service import Service

SEED = 20_260_306
USERS = 2_000
LETTERS = "abcXYZ019_-.@ =*>+/äß日🙂"


def test_20000_mixed_requests_of_one_user_take_effect_in_order(
    up: Service, client: RawClient
) -> None:
    print(f"seed {SEED}")
    asks = draw(random.Random(SEED), 20_000)
    replies = post_all(client, "alice", asks, window=2_000)
    counted = check_order(asks, replies)
    assert counted.seq > 12_000  # each change took one position, the opening the first

    up.kill()
    up.start()
    with RawClient(up.url) as again:
        stats = again.request(request_subject(PREFIX, "stats", "alice")).json()
    assert [stats["seq"], stats["total_calls"]] == [counted.seq, counted.calls.total()]


def users(rng: random.Random) -> list[str]:
    found: set[str] = set()
    while len(found) < USERS:
        found.add("".join(rng.choices(LETTERS, k=rng.randint(1, 24))))
    return sorted(found)


def test_2000_users_are_served_on_their_partitions_each_in_order(
    up: Service, client: RawClient
) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    asks = {user: draw(rng, 8) for user in users(rng)}
    turns = [user for user in asks for _ in asks[user]]
    rng.shuffle(turns)
    left = {user: iter(asked) for user, asked in asks.items()}
    numbers: dict[str, list[int]] = defaultdict(list)
    posted: list[int] = []
    for user in turns:
        if len(posted) >= 4_000:
            client.reply(posted[-4_000])
        ask = next(left[user])
        posted.append(client.post(request_subject(PREFIX, ask.verb, user), ask.body))
        numbers[user].append(posted[-1])
    client.collect(len(posted))

    for user, asked in asks.items():
        replies = [client.replies[number] for number in numbers[user]]
        assert all(len(found) == 1 for found in replies)
        check_order(asked, [reply for (reply,) in replies])
    assert up.terminate() == 0
    check_partitions(up.data_dir, set(asks))


def check_partitions(data_dir: Path, expected: set[str]) -> None:
    with closing(sqlite3.connect(data_dir / "meterd.db")) as db:
        found = db.execute("SELECT DISTINCT user_id, partition FROM log").fetchall()
    assert dict(found) == {user: partition_of(encode_user(user)) for user in expected}


@pytest.mark.parametrize("mapped", [False, True])
def test_a_server_without_the_mapping_serves_in_order_as_well(
    tmp_path: Path, mapped: bool, request: pytest.FixtureRequest
) -> None:
    print(f"seed {SEED}")
    asks = draw(random.Random(SEED), 1_000)
    if mapped:
        service = request.getfixturevalue("serve")
    else:
        server = start_nats_server(tmp_path)
        request.addfinalizer(server.kill)
        env = {"METERD_NATS_URL": server.url}
        service = Service(tmp_path / "data", command="serve", env=env)
        service.start()
        request.addfinalizer(service.kill)
    with RawClient(service.url) as client:
        check_order(asks, post_all(client, "alice", asks, window=500))
