"""The client that never gives up: what it does beside nats-py's own."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client

from actors.edge.live_client import LiveClient
from actors.edge.outages import Outages


async def test_a_connection_that_breaks_while_it_is_made_has_no_task_left_that_reads_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = LiveClient(dict, Outages([]))
    turns: list[bool] = []

    async def shake_hands(_: Client) -> None:
        await asyncio.sleep(0)  # as for the first line of the server
        turns.append(any(not task.done() for task in tasks))

    monkeypatch.setattr(Client, "_process_connect_init", shake_hands)
    tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in range(3)]
    await asyncio.sleep(0)
    client._reading_task, client._ping_interval_task, client._flusher_task = tasks
    await client._process_connect_init()
    assert turns == [False]
    await asyncio.wait(tasks)
