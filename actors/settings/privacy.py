"""From settings to the rules for personal fields."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from actors.billing.usage.privacy import FIELDS, HASH, KEEP, SECRET_BYTES_MIN, Privacy
from actors.settings.config import Config, ConfigError

_SECRET: Final = "METERD_PERSONAL_SECRET_FILE"  # noqa: S105 -- the name of a setting


def privacy_of(config: Config) -> Privacy | None:
    """The rules, None if every field is kept as it comes.

    Raises:
        ConfigError: a field is to be hashed and the secret is missing, too short or unreadable.
    """
    rules = {name: str(getattr(config, f"personal_{name}")).lower() for name in FIELDS}
    secret = _secret(config.personal_secret_file) if config.personal_secret_file else b""
    hashed = [name for name, rule in rules.items() if rule == HASH]
    if hashed and not secret:
        raise ConfigError(f"METERD_PERSONAL_{hashed[0].upper()}=hash needs {_SECRET}")
    if not secret and set(rules.values()) == {KEEP}:
        return None
    return Privacy(rules, secret)


def _secret(name: str) -> bytes:
    try:
        secret = Path(name).read_bytes().strip()
    except OSError as error:
        # Not its name: who gives the secret itself instead would find it in the log.
        raise ConfigError(f"{_SECRET}: {error.strerror}") from None
    if len(secret) < SECRET_BYTES_MIN:
        raise ConfigError(f"{_SECRET}: the secret has less than {SECRET_BYTES_MIN} bytes")
    return secret
