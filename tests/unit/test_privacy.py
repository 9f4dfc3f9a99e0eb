from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from actors.billing.idempotency import original
from actors.billing.usage.privacy import DROP, FIELDS, HASH, KEEP, RULES, Privacy
from actors.settings.config import Config, ConfigError
from actors.settings.privacy import privacy_of
from messages.codec import encode_event
from messages.errors import RequestError
from messages.stored.events import (
    Personal,
)
from tests.support.meter import NOON, Meter, a_track, plan

SECRET = b"a secret of the tests"
SAID = Personal(
    user_agent="curl/8",
    ip_address="203.0.113.7",
    error_message="no such model",
    metadata={"session": "s-1", "page": "203.0.113.7"},
)


def every(rule: str) -> dict[str, str]:
    return dict.fromkeys(FIELDS, rule)


def stored(rules: Mapping[str, str], said: Personal = SAID, secret: bytes = SECRET) -> Personal:
    found = Privacy(rules, secret).stored(said)
    assert found is not None
    return found


def test_every_personal_field_has_a_rule_and_is_kept_without_one() -> None:
    assert set(FIELDS) == set(Personal.__struct_fields__)
    assert stored({}) == SAID


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_holds_for_its_field_alone(name: str, rule: str) -> None:
    found = stored({name: rule})
    for other in FIELDS:
        if other != name:
            assert getattr(found, other) == getattr(SAID, other)
    value = getattr(found, name)
    assert (value == getattr(SAID, name)) == (rule == KEEP)
    assert (value is None) == (rule == DROP)


def test_nothing_is_stored_of_a_call_all_of_whose_fields_are_dropped() -> None:
    assert Privacy(every(DROP)).stored(SAID) is None
    assert Privacy({"ip_address": DROP}).stored(Personal(ip_address="::1")) is None


def test_a_hash_has_nothing_of_the_value_and_leaves_the_names_of_metadata() -> None:
    found = stored(every(HASH))
    text = encode_event(found)
    for secret in ("curl", "203.0.113.7", "no such model", "s-1"):
        assert secret not in text
    assert found.metadata is not None
    assert list(found.metadata) == ["session", "page"]


def test_the_same_value_of_a_field_has_the_same_hash_and_any_other_another() -> None:
    rules = every(HASH)
    assert stored(rules) == stored(rules)
    hashes = {
        str(stored(rules, Personal(ip_address=address)).ip_address)
        for address in (f"203.0.113.{last}" for last in range(256))
    }
    assert len(hashes) == 256
    assert all(len(text) == len("hash:") + 32 for text in hashes)


def test_a_hash_cannot_be_made_without_the_secret_or_for_another_field() -> None:
    found = stored(every(HASH)).ip_address
    assert found != stored(every(HASH), secret=b"another secret, as long").ip_address
    assert found != stored(every(HASH), Personal(user_agent="203.0.113.7")).user_agent
    plain = blake2b(b"203.0.113.7", digest_size=16, person=b"ip_address").hexdigest()
    assert found != f"hash:{plain}"


def test_a_secret_may_be_longer_than_a_key_of_the_hash() -> None:
    long = [stored(every(HASH), secret=b"x" * 200 + end).ip_address for end in (b"a", b"b")]
    assert long[0] != long[1]


def test_a_value_that_looks_like_a_hash_is_hashed_too() -> None:
    once = stored({"ip_address": HASH}).ip_address
    again = stored({"ip_address": HASH}, Personal(ip_address=once)).ip_address
    assert again not in (once, None)


def test_without_a_secret_nothing_is_hashed_with_a_guessable_key() -> None:
    with pytest.raises(ValueError, match="without a secret"):
        Privacy({"metadata": HASH})


# -- a call that comes again


def answered(call: Mapping[str, Any], before: Privacy | None, now: Privacy | None) -> bool:
    """Whether a call that was stored under one rule is known again under another."""
    first: dict[str, Any] = {"user_agent": "curl/8", "ip_address": "::1", "metadata": {"k": "v"}}
    meter = Meter(terms=plan({}))
    meter.track(event_id="e-1", **first)
    said = Personal(user_agent="curl/8", ip_address="::1", metadata={"k": "v"})
    kept = said if before is None else before.stored(said)
    row = None if kept is None else encode_event(kept)
    entry = meter.log[-1]
    command = a_track(event_id="e-1", **{**first, **call})
    about = (command, entry.event, row, "e-1", entry.seq, NOON, meter.catalog, now)
    try:
        return bool(original(*about))
    except RequestError as error:
        return error.code != "idempotency_mismatch"


@pytest.mark.parametrize("rule", RULES)
def test_a_call_is_known_again_with_the_fields_that_it_had(rule: str) -> None:
    rules = Privacy(every(rule), SECRET)
    assert answered({}, rules, rules)


@pytest.mark.parametrize("rule", [KEEP, HASH])
@pytest.mark.parametrize("changed", [None, "other"])
@pytest.mark.parametrize("name", ["user_agent", "ip_address", "metadata"])
def test_a_call_with_another_personal_field_is_another_call(
    rule: str, changed: str | None, name: str
) -> None:
    value: object = {"k": changed} if name == "metadata" and changed else changed
    for rules in (None, Privacy(every(rule), SECRET)):
        assert not answered({name: value}, rules, rules)


def test_a_dropped_field_is_no_part_of_the_content() -> None:
    rules = Privacy({"ip_address": DROP})
    assert answered({"ip_address": "::2"}, rules, rules)
    assert not answered({"user_agent": "other"}, rules, rules)


@pytest.mark.parametrize(
    ("before", "now"), [(KEEP, HASH), (HASH, KEEP), (KEEP, KEEP), (HASH, HASH)]
)
def test_a_call_is_known_again_after_the_rule_was_changed(before: str, now: str) -> None:
    assert answered({}, Privacy(every(before), SECRET), Privacy(every(now), SECRET))
    other = {"ip_address": "::2"}
    assert not answered(other, Privacy(every(before), SECRET), Privacy(every(now), SECRET))


# -- from settings


def test_without_settings_there_is_no_rule_to_ask() -> None:
    assert privacy_of(Config()) is None
    assert privacy_of(Config(personal_ip_address="DROP")) is not None


def test_the_rules_and_the_secret_come_from_the_settings(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET + b"\n")
    config = Config(personal_ip_address="Hash", personal_secret_file=str(secret))
    privacy = privacy_of(config)
    assert privacy is not None
    assert privacy.stored(SAID) == stored({"ip_address": HASH})


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"short\n", "less than 16 bytes")]
)
def test_a_secret_that_cannot_be_used_is_a_setting_that_is_wrong(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    secret = tmp_path / "secret-of-mine"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^METERD_PERSONAL_SECRET_FILE: .*{reason}") as raised:
        privacy_of(Config(personal_metadata="hash", personal_secret_file=str(secret)))
    assert "secret-of-mine" not in str(raised.value)


def test_a_field_is_not_hashed_without_a_secret() -> None:
    with pytest.raises(ConfigError, match="METERD_PERSONAL_METADATA=hash needs"):
        privacy_of(Config(personal_metadata="hash"))
