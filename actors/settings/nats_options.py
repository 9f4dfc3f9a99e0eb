"""From settings to the options of nats-py's ``connect``, for the service and the command line."""

from __future__ import annotations

import importlib.util
import logging
import re
import ssl
from collections import UserString
from pathlib import Path
from typing import Any, Final

from actors.settings.config import Config, ConfigError

_RECONNECT: Final[dict[str, Any]] = {
    "max_reconnect_attempts": -1,  # nats-py gives up for good after 60 by default
    "reconnect_time_wait": 0.25,
    "ping_interval": 10,
}
# Where a file has its seed: nothing else, or between lines of dashes.
_SEED: Final = re.compile(rb"\A\s*(\S+)\s*\Z")
_JWT: Final = re.compile(rb"-BEGIN NATS USER JWT-+\s+\S")
_CREDS: Final = re.compile(rb"-BEGIN USER NKEY SEED-+\s+(\S+)\s")


def connect_options(config: Config) -> dict[str, Any]:
    """The credentials, TLS and reconnect options of every connection of the project.

    They have what the files hold now: a connection that is to follow changes asks again.
    Callbacks, name and servers are the caller's.

    Raises:
        ConfigError: a file cannot be read, or a setting needs another one or a package.
    """
    logging.getLogger("asyncio").addFilter(_is_news)
    options = {**_RECONNECT, "inbox_prefix": config.nats_inbox_prefix}
    if config.nats_user:
        options |= {"user": config.nats_user, "password": _password(config)}
    elif config.nats_password or config.nats_password_file:
        variable = f"METERD_NATS_PASSWORD{'' if config.nats_password else '_FILE'}"
        raise ConfigError(f"{variable} needs METERD_NATS_USER")
    if config.nats_creds:
        text, _ = _key_file("METERD_NATS_CREDS", config.nats_creds, _CREDS)
        options["user_credentials"] = UserString(text)
    if config.nats_nkey_seed_file:
        variable, name = "METERD_NATS_NKEY_SEED_FILE", config.nats_nkey_seed_file
        _, options["nkeys_seed_str"] = _key_file(variable, name, _SEED)
    if any((config.nats_tls_ca, config.nats_tls_cert, config.nats_tls_key)):
        options["tls"] = _tls(config)
    if config.nats_tls_hostname:
        options.setdefault("tls", ssl.create_default_context())
        options["tls_hostname"] = config.nats_tls_hostname
    return options


def _is_news(record: logging.LogRecord) -> bool:
    # asyncio says this whenever a TLS connection of nats-py ends, which is no fault: its streams
    # began as those of a plain connection, whose way to end is another.
    return "eof_received() has no effect" not in record.getMessage()


def _password(config: Config) -> str:
    if not config.nats_password_file:
        return config.nats_password
    if config.nats_password:
        raise ConfigError("METERD_NATS_PASSWORD and METERD_NATS_PASSWORD_FILE are both set")
    text = _secret_file("METERD_NATS_PASSWORD_FILE", config.nats_password_file)
    try:
        password = text.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        password = ""
    if not password:
        raise ConfigError("METERD_NATS_PASSWORD_FILE: the file has no password")
    return password


def _secret_file(variable: str, name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        # The name is not shown: if the secret itself was given instead, it would be in the log.
        raise ConfigError(f"{variable}: {error.strerror}") from None


def _key_file(variable: str, name: str, seed: re.Pattern[bytes]) -> tuple[str, str]:
    """The whole text of a file, and the seed in it.

    nats-py is given texts: it would read the file itself, in a loop that never ends if a
    credentials file is cut off, as one is that is being written.
    """
    if importlib.util.find_spec("nkeys") is None:
        raise ConfigError(f"{variable} needs the package nkeys: pip install 'meterd[auth]'")
    content = _secret_file(variable, name)
    found = seed.search(content)
    if found is None or not _is_seed(found[1]):
        raise ConfigError(f"{variable}: the file has no nkey seed")
    if seed is _CREDS and _JWT.search(content) is None:
        raise ConfigError(f"{variable}: the file has no JWT")
    return content.decode("ascii", "replace"), found[1].decode()


def _is_seed(text: bytes) -> bool:
    import nkeys  # noqa: PLC0415 -- an extra

    try:
        nkeys.from_seed(bytearray(text))
    except (nkeys.NkeysError, ValueError):
        return False
    return True


def _file(variable: str, name: str) -> str:
    # Read here: nats-py would fail again and again while it connects, and never say why.
    try:
        Path(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"{variable}={name!r}: {error.strerror}") from None
    return name


def _tls(config: Config) -> ssl.SSLContext:
    ca = _file("METERD_NATS_TLS_CA", config.nats_tls_ca) if config.nats_tls_ca else None
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise ConfigError(f"METERD_NATS_TLS_CA={ca!r}: not PEM certificates ({error})") from None
    if config.nats_tls_cert:
        certificate = _file("METERD_NATS_TLS_CERT", config.nats_tls_cert)
        key = _file("METERD_NATS_TLS_KEY", config.nats_tls_key) if config.nats_tls_key else None
        try:
            context.load_cert_chain(certificate, key, password=_refuse_password)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(f"METERD_NATS_TLS_CERT={certificate!r}: {error}") from None
    elif config.nats_tls_key:
        raise ConfigError("METERD_NATS_TLS_KEY needs METERD_NATS_TLS_CERT")
    return context


def _refuse_password() -> str:
    # Without this OpenSSL asks on the terminal, and a service would wait for ever.
    raise ValueError("the key is encrypted")
