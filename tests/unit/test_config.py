from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from actors.settings.config import _BOUNDS, Config, ConfigError, load

TEXTS = [
    *("nats_url", "nats_server", "nats_creds", "nats_user", "nats_password", "nats_password_file"),
    *(
        "personal_secret_file",
        "nats_nkey_seed_file",
        "nats_tls_ca",
        "nats_tls_cert",
        "nats_tls_key",
        "nats_tls_hostname",
    ),
]
NUMBERS = [field.name for field in fields(Config) if type(field.default) in (int, float)]


def variable(name: str) -> str:
    return f"METERD_{name.upper()}"


def test_without_any_setting_the_defaults_hold() -> None:
    assert load({}) == Config()
    # The contract, sections 1, 2 and 6.
    default = Config()
    assert (default.prefix, default.nats_port, default.data_dir) == ("usage.v1", 4222, Path("data"))
    assert (default.waiting_max, default.waiting_per_user_max) == (32_768, 16_384)


@pytest.mark.parametrize("name", [field.name for field in fields(Config)])
@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_an_empty_variable_is_an_unset_one(name: str, text: str) -> None:
    assert load({variable(name): text}) == Config()


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_taken_as_it_is_without_the_space_around_it(name: str) -> None:
    assert getattr(load({variable(name): " a b=c "}), name) == "a b=c"


def test_every_number_has_bounds_and_its_default_is_within_them() -> None:
    assert set(_BOUNDS) == set(NUMBERS)
    for name, (low, high) in _BOUNDS.items():
        assert low <= getattr(Config(), name) <= high


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_taken_at_its_bounds(name: str) -> None:
    for bound in _BOUNDS[name]:
        assert getattr(load({variable(name): f"{bound:.12g}"}), name) == bound


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_out_of_its_bounds_or_of_another_type_is_refused_by_its_name(name: str) -> None:
    low, high = _BOUNDS[name]
    beyond = [f"{low - 1:.12g}", f"{high + 1:.12g}", "-1e400", "nan", "inf", "-inf"]
    for text in [*beyond, "many", "1,5", "0x10", "1 2", "9" * 5_000]:
        with pytest.raises(ConfigError, match=f"^{variable(name)}="):
            load({variable(name): text})


@pytest.mark.parametrize("name", [n for n in NUMBERS if isinstance(getattr(Config(), n), int)])
@pytest.mark.parametrize("text", ["100.5", "20000.0", "4e4"])
def test_a_whole_number_is_written_as_one(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=variable(name)):
        load({variable(name): text})


def test_the_bounds_on_waiting_requests_may_be_raised_and_not_lowered() -> None:
    raised = load({"METERD_WAITING_MAX": "65536", "METERD_WAITING_PER_USER_MAX": "32768"})
    assert (raised.waiting_max, raised.waiting_per_user_max) == (65_536, 32_768)
    for name, text in (("waiting_max", "32767"), ("waiting_per_user_max", "16383")):
        with pytest.raises(ConfigError, match=variable(name)):
            load({variable(name): text})


@pytest.mark.parametrize("prefix", ["usage.v2", "a", "tenant-1.usage_v1"])
def test_a_prefix_can_stand_before_every_subject(prefix: str) -> None:
    assert load({"METERD_PREFIX": prefix}).prefix == prefix


@pytest.mark.parametrize("prefix", [".", "a..b", "a.", "a.*", ">", "a b", "ü", "x" * 129])
def test_a_prefix_that_no_subject_can_start_with_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match=r"^METERD_PREFIX="):
        load({"METERD_PREFIX": prefix})


@pytest.mark.parametrize("level", ["debug", "info", "WARNING", "Error"])
def test_a_log_level_is_one_of_four(level: str) -> None:
    assert load({"METERD_LOG_LEVEL": level}).log_level.lower() == level.lower()
    with pytest.raises(ConfigError, match=r"METERD_LOG_LEVEL=.*debug, info, warning, error"):
        load({"METERD_LOG_LEVEL": "loud"})


@pytest.mark.parametrize("field", ["user_agent", "ip_address", "error_message", "metadata"])
def test_a_personal_field_is_kept_hashed_or_dropped(field: str) -> None:
    name = f"METERD_PERSONAL_{field.upper()}"
    for rule in ("keep", "hash", "DROP"):
        assert getattr(load({name: rule}), f"personal_{field}") == rule
    with pytest.raises(ConfigError, match=rf"{name}=.*keep, hash, drop"):
        load({name: "erase"})


def test_an_inbox_prefix_is_one_that_subjects_can_start_with() -> None:
    assert load({"METERD_NATS_INBOX_PREFIX": "_INBOX_app.a"}).nats_inbox_prefix == "_INBOX_app.a"
    for text in ("_INBOX.", "_INBOX.>", "*", "a b"):
        with pytest.raises(ConfigError, match=r"^METERD_NATS_INBOX_PREFIX="):
            load({"METERD_NATS_INBOX_PREFIX": text})


def test_the_data_directory_is_a_path() -> None:
    assert load({"METERD_DATA_DIR": "/var/lib/meterd"}).data_dir == Path("/var/lib/meterd")


def test_without_an_argument_the_environment_of_the_process_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("METERD_NATS_PORT", "0")
    assert load().nats_port == 0


def test_a_variable_that_is_no_setting_is_left_alone() -> None:
    assert load({"METERD_UNHEARD_OF": "1", "NATS_PORT": "1", "PATH": "/bin"}) == Config()


def test_settings_do_not_change_while_the_service_runs() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().nats_port = 1  # type: ignore[misc]
