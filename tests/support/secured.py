"""The nats-server of docs/nats.conf, with keys and certificates of the tests."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.support.nats import NatsServer, run_nats_server
from tests.support.roles import INBOXES, ROLES
from tests.support.service import ROOT
from tests.support.wire import Key, Wire

CONFIG = ROOT / "docs" / "nats.conf"
ORIGIN = "https://dashboard.tests"
_MAPPINGS = re.compile(r"^    mappings \{\n.*?^    \}\n", re.MULTILINE | re.DOTALL)
_LISTENING = re.compile(r"Listening for websocket clients on wss://127\.0\.0\.1:(\d+)")


@dataclass
class Secured:
    """A running server, and what its clients need.

    Attributes:
        server: the server.
        websocket: the port for WebSocket.
        ca: the file with the certificate to trust.
        trust: the same as a context.
        keys: by role.
        seeds: a file for each role.
    """

    server: NatsServer
    websocket: int
    ca: Path
    trust: ssl.SSLContext
    keys: dict[str, Key]
    seeds: dict[str, Path]

    def connect(self, role: str, **other: str) -> Wire:
        """Sign in as a role, the way it does."""
        if role == "dashboard":
            other = {"origin": ORIGIN, **other}
        port = self.websocket if "origin" in other else self.server.port
        return Wire(port, self.trust, self.keys[role], INBOXES[role], **other)

    def env(self, role: str) -> dict[str, str]:
        """The settings with which meterd signs in as a role."""
        return {
            "METERD_NATS_URL": self.server.url,
            "METERD_NATS_NKEY_SEED_FILE": str(self.seeds[role]),
            "METERD_NATS_TLS_CA": str(self.ca),
            "METERD_NATS_INBOX_PREFIX": INBOXES[role],
        }


def start_secured(directory: Path, *, mapping: bool = True) -> Secured:
    """Start the server of the documents: the file as it is, but for the values of its first part.

    Args:
        directory: for its files.
        mapping: whether with the mapping; without, changed as the file says.
    """
    keys = {role: Key() for role in (*ROLES, "system")}
    authority = trustme.CA()
    made = authority.issue_cert("localhost", "127.0.0.1")
    ca, certificate, private = (directory / f"{name}.pem" for name in ("ca", "cert", "key"))
    authority.cert_pem.write_to_path(str(ca))
    for index, blob in enumerate(made.cert_chain_pems):
        blob.write_to_path(str(certificate), append=index > 0)
    made.private_key_pem.write_to_path(str(private))
    seeds = {role: directory / f"{role}.nk" for role in keys}
    for role, path in seeds.items():
        path.write_bytes(keys[role].seed + b"\n")
    values = {
        "NATS_LISTEN": "127.0.0.1:-1",
        "WEBSOCKET_LISTEN": "127.0.0.1:-1",
        "DASHBOARD_ORIGIN": ORIGIN,
        "CERTIFICATE": certificate,
        "PRIVATE_KEY": private,
        "STREAMS": directory / "streams",
    } | {f"{role.upper()}_KEY": key.public for role, key in keys.items()}
    text = CONFIG.read_text()
    for name, value in values.items():
        text, count = re.subn(rf'^{name}: ".*"$', f'{name}: "{value}"', text, flags=re.MULTILINE)
        assert count == 1, name
    if not mapping:
        text, count = _MAPPINGS.subn("", text)
        assert count == 1
        text = text.replace("p.*.", "")
    config = directory / "nats.conf"
    config.write_text(text)
    server = run_nats_server(config)
    websocket = int(_LISTENING.findall(server.log)[0])
    trust = ssl.create_default_context(cafile=str(ca))
    return Secured(server, websocket, ca, trust, keys, seeds)
