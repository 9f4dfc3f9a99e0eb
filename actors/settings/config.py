"""Settings from the environment. Each limit has its unit in its name, a default and bounds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from messages.subjects import PREFIX, check_prefix

OFF: Final = "off"
REGISTER: Final = "register"


class ConfigError(Exception):
    """A setting is wrong; the message names it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """All settings of the service; each is read from ``METERD_<NAME>``.

    Attributes:
        nats_url: where `meterd serve` connects.
        nats_port: where `meterd up` lets its own server listen on loopback; 0: a free port.
        nats_server: the nats-server binary for `meterd up`; empty: PATH, then the package.
        nats_creds, nats_user, nats_password, nats_nkey_seed_file: as NATS clients know them.
        nats_password_file: has the password, instead of `nats_password`.
        nats_tls_ca, nats_tls_cert, nats_tls_key, nats_tls_hostname: as NATS clients know them.
        nats_inbox_prefix: what the subjects start with on which answers to own requests come.
        alert_stream, event_stream: auto: alerts and events go into the streams METERD_ALERTS
            and METERD_EVENTS if the server has JetStream; off: never. With both off the
            server of `meterd up` has none.
        prefix: what every subject starts with.
        personal_user_agent, personal_ip_address, personal_error_message, personal_metadata:
            what becomes of the field before anything is stored: keep, hash or drop.
        personal_secret_file: has the secret of the hashes.
        unknown_providers: what becomes of a ``track`` to a provider that nobody has put: refuse,
            or register: the provider is stored first.
        data_dir: holds the database.
        live_users_max: actors kept in memory.
        live_bytes_max: about how many bytes their states may take together.
        idle_s: an actor without a message for this long is snapshotted and dropped.
        recoveries_max: users loaded from disk at the same time.
        waiting_max: requests that wait in all; more are refused.
        waiting_per_user_max: requests that wait for one user; more are refused.
        snapshot_events: a user's state is snapshotted after this many events.
        drain_s: how long a stop waits for requests that were taken.
        log_level: of the log on stderr.
    """

    nats_url: str = "nats://127.0.0.1:4222"
    nats_port: int = 4222
    nats_server: str = ""
    nats_creds: str = ""
    nats_user: str = ""
    nats_password: str = ""
    nats_password_file: str = ""
    nats_nkey_seed_file: str = ""
    nats_tls_ca: str = ""
    nats_tls_cert: str = ""
    nats_tls_key: str = ""
    nats_tls_hostname: str = ""
    nats_inbox_prefix: str = "_INBOX"
    alert_stream: str = "auto"
    event_stream: str = "auto"
    prefix: str = PREFIX
    personal_user_agent: str = "keep"
    personal_ip_address: str = "keep"
    personal_error_message: str = "keep"
    personal_metadata: str = "keep"
    personal_secret_file: str = ""
    unknown_providers: str = "refuse"
    data_dir: Path = Path("data")
    live_users_max: int = 100_000
    live_bytes_max: int = 1_073_741_824
    idle_s: float = 900.0
    recoveries_max: int = 256
    waiting_max: int = 32_768
    waiting_per_user_max: int = 16_384
    snapshot_events: int = 1_000
    drain_s: float = 30.0
    log_level: str = "info"

    @property
    def keeps_alerts(self) -> bool:
        """Whether alerts are to go into a stream."""
        return self.alert_stream.lower() != OFF

    @property
    def keeps_events(self) -> bool:
        """Whether events are to go into a stream."""
        return self.event_stream.lower() != OFF

    @property
    def registers_providers(self) -> bool:
        """Whether a call may name a provider that nobody has put."""
        return self.unknown_providers.lower() == REGISTER

    @property
    def streamed(self) -> bool:
        """Whether there is a use for JetStream."""
        return self.keeps_alerts or self.keeps_events

    @property
    def logs_requests(self) -> bool:
        """Whether each request is to have its line in the log."""
        return self.log_level.lower() == "debug"


_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "nats_port": (0, 65_535),
    "live_users_max": (1, 10_000_000),
    "live_bytes_max": (1_048_576, 549_755_813_888),
    "idle_s": (0.01, 604_800),
    "recoveries_max": (1, 4_096),
    "waiting_max": (32_768, 1_048_576),
    "waiting_per_user_max": (16_384, 1_048_576),
    "snapshot_events": (1, 1_000_000),
    "drain_s": (1, 3_600),
}
_RULES: Final = ("keep", "hash", "drop")
_WORDS: Final = {
    "log_level": ("debug", "info", "warning", "error"),
    "alert_stream": ("auto", OFF),
    "event_stream": ("auto", OFF),
    "unknown_providers": ("refuse", REGISTER),
    "personal_user_agent": _RULES,
    "personal_ip_address": _RULES,
    "personal_error_message": _RULES,
    "personal_metadata": _RULES,
}
_SHOWN_MAX: Final = 60


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read the settings of ``environ`` (the process's own if it is None).

    An empty variable is an unset one.

    Raises:
        ConfigError: a value is of the wrong type or out of its bounds.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for field in fields(Config):
        variable = f"METERD_{field.name.upper()}"
        text = environ.get(variable, "").strip()
        if text:
            values[field.name] = _parse(variable, text, field.name, type(field.default))
    return Config(**values)


def _number(
    variable: str, text: str, kind: Callable[[str], Any], low: float, high: float
) -> object:
    try:
        value = kind(text)
        fits = low <= value <= high
    except ValueError:
        value, fits = None, False
    if not fits:
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(
            f"{variable}={text[:_SHOWN_MAX]!r}: not {what} from {low:,g} to {high:,g}"
        )
    return value


def _parse(variable: str, text: str, name: str, kind: Callable[[str], Any]) -> object:
    try:
        if name in {"prefix", "nats_inbox_prefix"}:
            return check_prefix(text)
    except ValueError as error:
        raise ConfigError(f"{variable}={text!r}: {error}") from None
    if name in _BOUNDS:
        return _number(variable, text, kind, *_BOUNDS[name])
    value = kind(text)
    words = _WORDS.get(name)
    if words is not None and text.lower() not in words:
        raise ConfigError(f"{variable}={text!r}: not one of {', '.join(words)}")
    return value
