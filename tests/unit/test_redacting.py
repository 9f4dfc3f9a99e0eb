from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from actors.settings.logging import configure_logging
from messages.redacting import check_servers, secrets_in, shown, without
from tests.support.wire import Key


@pytest.mark.parametrize(
    ("urls", "seen"),
    [
        ("nats://h:1", "nats://h:1"),
        ("h:1", "h:1"),
        ("nats://u:Hidden@h:1", "nats://h:1"),
        ("nats://Hidden@h:1", "nats://h:1"),
        ("u:Hidden@h:1", "h:1"),
        ("tls://u:Hidden@[::1]:1", "tls://[::1]:1"),
        ("nats://u:Hid@den@h:1", "nats://h:1"),
        ("nats://u:Hid/den@h:1", "nats://h:1"),
        ("nats://u:Hid,den@h:1", "nats://h:1"),
        ("nats://u:Hid://den@h:1", "nats://h:1"),
        ("nats://a:1,nats://u:Hidden@b:2,nats://c:3", "nats://a:1,nats://b:2,nats://c:3"),
        ("u:Hidden@a:1,u:Hidden@b:2", "b:2"),
        ("nats://u:Hidden", "nats://***"),
        ("nats://u:Hidden@a:1,nats://h:Hidden", "nats://a:1,nats://***"),
    ],
)
def test_an_address_is_shown_without_its_user_and_its_secret(urls: str, seen: str) -> None:
    assert shown(urls) == seen


def test_the_secrets_of_an_address_are_its_passwords_and_tokens_as_written_and_as_meant() -> None:
    found = secrets_in("nats://u:p%40ss@a:1,nats://token@b:2,nats://c:3", "more", None, "")
    assert found == {"p%40ss", "p@ss", "token", "more"}


def test_a_secret_is_taken_out_of_any_text_and_a_longer_one_first() -> None:
    text = without({"secret", "secret-of-two"}, "a secret-of-two and a secret")
    assert text == "a *** and a ***"
    assert without({"", "a", "abc"}, "abc a") == "abc a"  # too short to be secret


def test_a_seed_is_taken_out_whoever_has_said_it() -> None:
    key = Key()
    seed = key.seed.decode()
    assert without((), f"bad seed {seed}!") == "bad seed ***!"
    assert without((), f"bad seed {seed[:-5]}") == "bad seed ***"
    assert without((), f"key {key.public}") == f"key {key.public}"


@pytest.mark.parametrize(
    "urls", ["nats://h:1", "h:1", "h", "NATS://h", "nats://u:p@h:1,tls://[::1]:1", "wss://h"]
)
def test_an_address_of_servers_is_taken_apart(urls: str) -> None:
    assert check_servers(urls) == urls.split(",")


@pytest.mark.parametrize(
    "urls",
    [
        "",
        "nats://",
        "nats://h:Hidden",
        "nats://u:Hid/den@h:1",
        "nats://h:1,",
        "nats://u:Hid,den@h",
        "nats://[Hidden",
        "nats://h:99999",
        "http://u:Hidden@h:1",
        "nats://h:1,postgres://h:2",
    ],
)
def test_an_invalid_address_is_refused_without_being_quoted(urls: str) -> None:
    with pytest.raises(ValueError, match=r"^not the address of a NATS server$"):
        check_servers(urls)


def test_no_line_of_the_log_has_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    root = logging.getLogger()
    before = structlog.get_config()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr("sys.stderr", out)
    try:
        configure_logging("debug", {'Hid"den', "plain-secret"})
        try:
            open('no Hid"den here, no plain-secret')  # noqa: PTH123, SIM115 -- it fails
        except OSError:
            structlog.get_logger("a").exception("failed", url='nats://u:Hid"den@h')
            logging.getLogger("b").exception("failed at %s", "plain-secret")
    finally:
        structlog.configure(**before)
    said = out.getvalue()
    assert "FileNotFoundError" in said
    assert said.count("***") >= 5
    for secret in ('Hid"den', 'Hid\\"den', "plain-secret"):
        assert secret not in said
    assert json.loads(said.splitlines()[0])["event"] == "failed"
