"""Credentials that change, end and are revoked under a running service, on real nats-servers."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nkeys
import structlog.testing
import trustme

from actors.edge.connection import Connection
from tests.support.logged import WAIT_S, await_line, waiting
from tests.support.nats import NatsServer, start_nats_server
from tests.support.service import Service
from tests.support.wire import Key


@contextmanager
def serving(tmp_path: Path, server: NatsServer, **env: str) -> Iterator[Service]:
    """`meterd serve` there, which ends in order."""
    settings = {"METERD_NATS_URL": server.url, **env}
    with Service(tmp_path / "data", command="serve", env=settings) as service:
        yield service
        assert service.terminate() == 0
        assert "Traceback" not in service.stderr
        assert "TCPTransport" not in service.stderr


def reload(server: NatsServer, config: Path, text: str) -> None:
    config.write_text(f"listen: 127.0.0.1:{server.port}\n{text}\n")
    server.process.send_signal(signal.SIGHUP)


class Mutual:
    """A server that wants certificates of its callers, and the files of one caller."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.files = {
            name: str(directory / f"{name}.pem") for name in ("ca", "cert", "key", "scert", "skey")
        }
        self.env = {f"METERD_NATS_TLS_{n.upper()}": self.files[n] for n in ("ca", "cert", "key")}
        self.new_authority()

    def new_authority(self) -> None:
        """Trust another authority on both sides, with a certificate of it for the server."""
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.files["ca"])
        self._write(self.authority.issue_cert("127.0.0.1"), "scert", "skey")

    def issue(self, not_after: datetime | None = None) -> None:
        """Put a new certificate under the names of the caller's."""
        self._write(self.authority.issue_cert("meterd.tests", not_after=not_after), "cert", "key")

    def start(self, port: int = -1) -> NatsServer:
        cert, key, ca = (self.files[name] for name in ("scert", "skey", "ca"))
        files = f"cert_file: '{cert}', key_file: '{key}', ca_file: '{ca}'"
        return start_nats_server(self.directory, f"tls {{ {files}, verify: true }}", port)

    def _write(self, made: trustme.LeafCert, cert: str, key: str) -> None:
        made.private_key_pem.write_to_path(self.files[key])
        for index, blob in enumerate(made.cert_chain_pems):
            blob.write_to_path(self.files[cert], append=index > 0)


def test_a_certificate_that_ended_is_told_and_its_successor_taken(tmp_path: Path) -> None:
    mutual = Mutual(tmp_path)
    mutual.issue()
    server = mutual.start()
    with serving(tmp_path, server, **mutual.env) as service:
        server.kill()
        await_line(service, "nats_disconnected")
        mutual.issue(not_after=datetime.now(UTC) - timedelta(days=1))  # as if it had ended
        server = mutual.start(server.port)
        await_line(service, "nats_refused", "expired")
        mutual.issue()
        await_line(service, "nats_reconnected")
    server.kill()


def test_an_authority_that_changed_is_read_again(tmp_path: Path) -> None:
    mutual = Mutual(tmp_path)
    mutual.issue()
    server = mutual.start()
    with serving(tmp_path, server, **mutual.env) as service:
        server.kill()
        old = Path(mutual.files["ca"]).read_bytes()
        mutual.new_authority()
        new = Path(mutual.files["ca"]).read_bytes()
        server = mutual.start(server.port)
        Path(mutual.files["ca"]).write_bytes(old)
        await_line(service, "nats_disconnected")
        Path(mutual.files["cert"]).write_text("half a certificate")
        await_line(service, "nats_refused", "METERD_NATS_TLS_CERT")
        mutual.issue()
        Path(mutual.files["ca"]).write_bytes(new)
        await_line(service, "nats_reconnected")
    server.kill()


def user(password: str) -> str:
    return f'authorization {{ user: "meterd", password: "{password}" }}'


def test_a_changed_password_is_a_line_with_the_servers_reason_until_the_file_has_it(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "password"
    secret.write_text("first-one\n")
    server = start_nats_server(tmp_path, user("first-one"))
    env = {"METERD_NATS_USER": "meterd", "METERD_NATS_PASSWORD_FILE": str(secret)}
    with serving(tmp_path, server, **env) as service:
        reload(server, tmp_path / "nats.conf", user("second-one"))
        await_line(service, "nats_refused", "Authorization Violation")
        secret.write_text("second-one\n")
        await_line(service, "nats_reconnected")
        assert "first-one" not in service.stderr
        assert "second-one" not in service.stderr
    server.kill()


def keyed(key: Key) -> str:
    return f"authorization {{ users: [ {{ nkey: {key.public} }} ] }}"


def test_a_seed_that_was_replaced_signs_in_with_its_own_public_key(tmp_path: Path) -> None:
    old, new = Key(), Key()
    seed = tmp_path / "service.nk"
    seed.write_bytes(old.seed)
    server = start_nats_server(tmp_path, keyed(old))
    with serving(tmp_path, server, METERD_NATS_NKEY_SEED_FILE=str(seed)) as service:
        reload(server, tmp_path / "nats.conf", keyed(new))
        await_line(service, "nats_refused", "Authorization Violation")
        seed.write_bytes(b"")
        await_line(service, "nats_refused", "no nkey seed")
        seed.write_bytes(new.seed)
        await_line(service, "nats_reconnected")
        assert not {old.seed.decode(), new.seed.decode()} & set(service.stderr.split('"'))
    server.kill()


class Signer:
    """An nkey of an operator, an account or a user, which signs JWTs."""

    def __init__(self, kind: int) -> None:
        self.seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), kind)
        public: Any = nkeys.from_seed(bytearray(self.seed)).public_key
        self.public: str = public.decode()

    def sign(self, subject: Signer, claims: dict[str, Any], ends: float | None = None) -> str:
        now = int(time.time())
        body = {"jti": secrets.token_hex(8), "iat": now, "iss": self.public, "name": "tests"}
        body |= {"sub": subject.public, "nats": {"version": 2, **claims}}
        if ends is not None:
            body["exp"] = int(now + ends)
        text = ".".join(_part(part) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body))
        signed = nkeys.from_seed(bytearray(self.seed)).sign(text.encode())
        return f"{text}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}"


def _part(claims: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


def test_a_jwt_that_ended_and_was_renewed_in_its_file_is_taken(tmp_path: Path) -> None:
    operator, account = Signer(nkeys.PREFIX_BYTE_OPERATOR), Signer(nkeys.PREFIX_BYTE_ACCOUNT)
    person = Signer(nkeys.PREFIX_BYTE_USER)
    all_of_it = dict.fromkeys(("subs", "data", "payload", "conn", "imports", "exports"), -1)
    preload = operator.sign(account, {"type": "account", "limits": all_of_it})
    config = (
        f"operator: {operator.sign(operator, {'type': 'operator'})}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {account.public}: {preload} }}"
    )
    creds = tmp_path / "meterd.creds"

    def renew(ends: float) -> None:
        jwt = account.sign(person, {"type": "user", "subs": -1, "data": -1, "payload": -1}, ends)
        dashes = "-----{}-----\n{}\n------{}------\n"
        creds.write_text(
            dashes.format("BEGIN NATS USER JWT", jwt, "END NATS USER JWT")
            + dashes.format("BEGIN USER NKEY SEED", person.seed.decode(), "END USER NKEY SEED")
        )

    renew(3_600)
    server = start_nats_server(tmp_path, config)
    with serving(tmp_path, server, METERD_NATS_CREDS=str(creds)) as service:
        server.kill()
        await_line(service, "nats_disconnected")
        renew(8)  # long enough to sign in with, if nothing has to be started but the server
        server = start_nats_server(tmp_path, config, server.port)
        await_line(service, "nats_reconnected")
        await_line(service, "nats_disconnected", "xpired")
        await_line(service, "nats_refused", "Authorization Violation")
        creds.write_bytes(creds.read_bytes()[:40])  # it is being written
        await_line(service, "nats_refused", "METERD_NATS_CREDS")
        renew(3_600)
        await_line(service, "nats_reconnected", count=2)
    server.kill()


def test_while_nats_is_away_the_log_has_a_line_when_it_goes_and_one_when_it_is_back(
    tmp_path: Path,
) -> None:
    server = start_nats_server(tmp_path)
    with serving(tmp_path, server) as service:
        for count in (1, 2):
            server.kill()
            await_line(service, "nats_disconnected", count=count)
            server = start_nats_server(tmp_path, port=server.port)
            await_line(service, "nats_reconnected", count=count)
        server.kill()
        await_line(service, "nats_disconnected", count=3)
    found = [json.loads(line) for line in service.stderr.splitlines() if '"nats_' in line]
    assert [line["event"] for line in found] == ["nats_disconnected", "nats_reconnected"] * 2 + [
        "nats_disconnected"
    ]
    assert "close_failed" not in service.stderr


# -- at a start

REFUSED_AT_A_START = ("nats_not_connected", "nats_refused")
"""A server that refuses closes the connection, and that may be read before its reason: then a
later try has it."""


def test_a_service_waits_at_a_start_until_its_server_is_there(tmp_path: Path) -> None:
    server = start_nats_server(tmp_path)
    server.kill()
    with waiting(tmp_path, {"METERD_NATS_URL": server.url}) as service:
        await_line(service, "nats_not_connected")
        assert service.lines == []
        server = start_nats_server(tmp_path, port=server.port)
        service.wait_ready()
        await_line(service, "nats_connected")
    server.kill()
    assert [json.loads(line)["event"] for line in service.stderr.splitlines() if "nats_" in line][
        :2
    ] == ["nats_not_connected", "nats_connected"]


def test_a_password_that_is_wrong_at_a_start_may_be_put_right_meanwhile(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("first-one")
    server = start_nats_server(tmp_path, user("second-one"))
    env = {
        "METERD_NATS_URL": server.url,
        "METERD_NATS_USER": "meterd",
        "METERD_NATS_PASSWORD_FILE": str(secret),
    }
    with waiting(tmp_path, env) as service:
        await_line(service, REFUSED_AT_A_START, "Authorization Violation")
        secret.unlink()
        await_line(service, "nats_refused", "METERD_NATS_PASSWORD_FILE")
        secret.write_text("second-one")
        service.wait_ready()
        await_line(service, "nats_connected")
    server.kill()


def test_a_certificate_that_has_ended_at_a_start_may_be_renewed_meanwhile(tmp_path: Path) -> None:
    mutual = Mutual(tmp_path)
    mutual.issue(not_after=datetime.now(UTC) - timedelta(days=1))
    server = mutual.start()
    with waiting(tmp_path, {"METERD_NATS_URL": server.url, **mutual.env}) as service:
        await_line(service, REFUSED_AT_A_START, "expired")
        mutual.issue()
        service.wait_ready()
    server.kill()


def test_a_service_that_waits_for_its_server_is_interrupted_as_one_that_starts(
    tmp_path: Path,
) -> None:
    server = start_nats_server(tmp_path)
    server.kill()
    service = Service(tmp_path / "data", command="serve", env={"METERD_NATS_URL": server.url})
    service.launch()
    try:
        await_line(service, "nats_not_connected")
        service.process.send_signal(signal.SIGINT)
        assert service.wait() == 130
        assert service.lines == []
        assert len(service.stderr.splitlines()) == 1
    finally:
        service.kill()


async def test_tries_that_are_refused_leave_nothing_open() -> None:
    tries, tried = 0, asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        writer.write(b'INFO {"auth_required":true,"max_payload":1048576}\r\n')
        await reader.readline()
        tries += 1
        writer.write(b"-ERR 'Authorization Violation'\r\n")
        tried.set()
        await reader.read()  # until the other side closes
        writer.close()

    async def files_after(count: int) -> int:
        async with asyncio.timeout(WAIT_S):
            while tries < count:
                tried.clear()
                await tried.wait()
        return len([*Path("/proc/self/fd").iterdir()])  # noqa: ASYNC240 -- no disk

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    options = {"reconnect_time_wait": 0.001}
    with structlog.testing.capture_logs() as logged:
        trying = asyncio.create_task(Connection.connect(url, options, name="test", patient=True))
        before = await files_after(5)
        assert await files_after(60) <= before + 4
        trying.cancel()
        await asyncio.wait([trying])
    assert trying.cancelled()
    server.close()
    assert [line["event"] for line in logged] == ["nats_not_connected"]
