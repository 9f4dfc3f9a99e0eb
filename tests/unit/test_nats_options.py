from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.settings.config import Config, ConfigError
from actors.settings.nats_options import connect_options


def test_the_settings_become_the_options_of_nats_py(tmp_path: Path) -> None:
    plain = connect_options(Config())
    assert plain["max_reconnect_attempts"] == -1
    assert not {"user", "tls", "user_credentials", "nkeys_seed"} & plain.keys()
    user = connect_options(Config(nats_user="u", nats_password="p"))
    assert (user["user"], user["password"]) == ("u", "p")
    named = connect_options(Config(nats_tls_hostname="nats.example"))
    assert isinstance(named["tls"], ssl.SSLContext)
    assert named["tls_hostname"] == "nats.example"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"nats_password": "p"}, "METERD_NATS_PASSWORD needs METERD_NATS_USER"),
        ({"nats_tls_key": "k.pem"}, "METERD_NATS_TLS_KEY needs METERD_NATS_TLS_CERT"),
        ({"nats_tls_ca": "missing.pem"}, "METERD_NATS_TLS_CA='missing.pem': No such file"),
        ({"nats_tls_ca": __file__}, "METERD_NATS_TLS_CA=.*not PEM"),
        ({"nats_tls_cert": __file__}, "METERD_NATS_TLS_CERT="),
        ({"nats_creds": "missing.creds"}, "METERD_NATS_CREDS"),
        ({"nats_nkey_seed_file": "missing.seed"}, "METERD_NATS_NKEY_SEED_FILE"),
    ],
)
def test_a_credential_that_cannot_be_used_is_a_setting_that_is_wrong(
    changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        connect_options(replace(Config(), **changed))
