"""Addresses of servers without the secrets in them, and texts without those secrets.

Whatever a server, a library or the system says of a connection may quote the address that it
was given, and that may have a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

_BETWEEN: Final = re.compile(r",(?=[a-z]+://)")
"""Between two servers. A comma in a password does not separate: no part of it is shown."""
_SEED: Final = re.compile(r"\bS[ACNOPUX][A-Z2-7]{20,}")
"""An nkey seed, also one that is cut off or mistyped."""
_GONE: Final = "***"
_SCHEMES: Final = frozenset({"nats", "tls", "ws", "wss"})
"""Of any other nats-py makes a host that nobody knows, and whoever is patient waits for ever."""
_LENGTH_MIN: Final = 4
"""Shorter texts are not secret, and hiding them would spoil every text that has them."""


def shown(urls: str) -> str:
    """The addresses of servers, with commas between, without users, passwords and tokens."""
    return ",".join(map(_without_secrets, _BETWEEN.split(urls)))


def secrets_in(urls: str, *more: str | None) -> frozenset[str]:
    """Every text of these addresses that no message may have, and more such texts."""
    found = {text or "" for text in more}
    for url in _BETWEEN.split(urls):
        about, separator, _ = url.rpartition("@")
        if separator:
            user, _, password = about.rpartition("://")[2].partition(":")
            secret = password or user  # a token stands where a user would
            found |= {secret, unquote(secret)}
    return frozenset(found - {""})


def without(secrets: Iterable[str], text: str) -> str:
    """A text without these secrets, and without anything that looks like an nkey seed."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _LENGTH_MIN:
            text = text.replace(secret, _GONE)
    return _SEED.sub(_GONE, text)


def check_servers(urls: str) -> list[str]:
    """The addresses, one for each server.

    Raises:
        ValueError: one is no address; the message says nothing of what it holds.
    """
    servers = urls.split(",")
    if not all(map(_is_address, servers)):
        raise ValueError("not the address of a NATS server")
    return servers


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:  # its text quotes a part of the address
        return False
    return host is not None and port != 0 and parts.scheme in _SCHEMES


def _without_secrets(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    address = rest.rpartition("@")[2]
    # An invalid address may be a password whose server was forgotten.
    return f"{scheme}{separator}{address if _is_address(address) else _GONE}"
