"""The service over TLS, to a nats-server that dies in the middle of answers and comes back."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, Final

import nats
import nats.errors
import pytest
from nats.aio.client import Client

from messages.subjects import PREFIX, request_subject
from tests.support.nats import start_nats_server
from tests.support.service import Service

CALLERS: Final = 40
CALLS: Final = 60
KILLS: Final = 3
PER_KILL: Final = 400
ANSWER_S: Final = 0.5
"""What a caller waits for before it asks again: an answer may have died with the server."""
CERTIFICATE: Final = (
    *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt"),
    *("ec_paramgen_curve:prime256v1", "-days", "2", "-subj", "/CN=test"),
    *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"),
)


@pytest.fixture
def tls(tmp_path: Path) -> str:
    """What a server's configuration says of TLS; the certificate is for this address."""
    subprocess.run(CERTIFICATE, cwd=tmp_path, check=True, capture_output=True)
    return f"tls {{ cert_file: '{tmp_path}/certificate.pem', key_file: '{tmp_path}/key.pem' }}"


async def asked(client: Client, verb: str, user: str, body: dict[str, Any]) -> tuple[Any, int]:
    """The answer to a request that is sent until there is one, and how often it was sent."""
    subject, payload, times = request_subject(PREFIX, verb, user), json.dumps(body).encode(), 0
    while True:
        times += 1
        try:
            answer = await client.request(subject, payload, timeout=ANSWER_S)
        except (nats.errors.Error, OSError):
            continue
        found = json.loads(answer.data)
        if not found.get("error", {}).get("retryable"):
            return found, times


async def test_answers_over_tls_are_exact_while_the_server_dies_in_the_middle_of_them(
    tls: str, tmp_path: Path
) -> None:
    server = start_nats_server(tmp_path, tls)
    ca = str(tmp_path / "certificate.pem")
    settings = {"METERD_NATS_URL": server.url, "METERD_NATS_TLS_CA": ca}
    acknowledged: dict[tuple[str, str], int] = {}
    more = asyncio.Event()

    async def call(client: Client, number: int) -> None:
        for count in range(CALLS):
            user, key = f"u{number % 5}", f"{number}.{count}"
            call = {"provider": "exa", "event_id": key, "metadata": {"x": "y" * 200}}
            reply, times = await asked(client, "track", user, call)
            assert (reply["event_id"], reply["usage_logged"]) == (key, True)
            assert times > 1 or not reply["duplicate"]
            acknowledged[user, key] = reply["seq"]
            more.set()

    async def reached(count: int) -> None:
        while len(acknowledged) < count:
            more.clear()
            await more.wait()

    context = ssl.create_default_context(cafile=ca)
    with Service(tmp_path / "data", command="serve", env=settings) as service:
        client = await nats.connect(
            server.url, tls=context, max_reconnect_attempts=-1, reconnect_time_wait=0.1
        )
        calls = [asyncio.create_task(call(client, number)) for number in range(CALLERS)]
        for count in range(1, KILLS + 1):
            await reached(count * PER_KILL)
            server.kill()
            server = await asyncio.to_thread(start_nats_server, tmp_path, tls, server.port)
        await asyncio.gather(*calls)
        counted = Counter(user for user, _ in acknowledged)
        assert len(acknowledged) == CALLERS * CALLS == len(set(acknowledged.values()))
        for user, expected in counted.items():
            stats, _ = await asked(client, "stats", user, {})
            assert stats["total_calls"] == expected
        pages = [asked(client, "logs", "u0", {"limit": 1_000}) for _ in range(20)]
        found = await asyncio.gather(*pages)
        assert {len(page["logs"]) for page, _ in found} == {counted["u0"]}
        await client.close()
        assert service.terminate() == 0
    server.kill()
