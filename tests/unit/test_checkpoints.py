"""Signed checkpoints: what is signed is what is read, and nothing else is taken."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.audit.checkpoints import (
    CheckpointError,
    new_seed,
    public_key_of,
    read,
    read_seed,
    signed,
    write_seed,
)
from messages.subjects import PARTITIONS
from persistence.chain.chain import LINK_BYTES
from persistence.chain.check import Heads

NOON = 1_774_872_000_000_000
LINKS = b"".join(bytes([n]) * LINK_BYTES for n in range(PARTITIONS))
SEED = new_seed(lambda count: b"s" * count)
OTHER = new_seed(lambda count: b"o" * count)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoint.json"
    path.write_bytes(msgspec.json.encode(signed(Heads(42, LINKS), NOON, SEED)))
    return path


@pytest.mark.parametrize("key", [None, public_key_of(SEED)])
def test_a_checkpoint_is_read_as_it_was_signed(path: Path, key: str | None) -> None:
    checkpoint, heads = read(path, key)
    assert heads == Heads(42, LINKS, str(path))
    assert checkpoint.public_key == public_key_of(SEED)
    assert checkpoint.taken_at.isoformat() == "2026-03-30T12:00:00+00:00"


def test_a_checkpoint_that_is_laid_out_in_another_way_is_the_same(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2, sort_keys=True))
    assert read(path, None)[1].seq == 42


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "seq": lambda it: it.update(seq=41),
    "links": lambda it: it["links"].reverse(),
    "one link": lambda it: it["links"].pop(),
    "taken_at": lambda it: it.update(taken_at="2026-03-30T12:00:01Z"),
    "public_key": lambda it: it.update(public_key=public_key_of(OTHER)),
    "no key": lambda it: it.update(public_key="UAAA"),
    "signature": lambda it: it.update(signature=it["signature"][::-1]),
    "no signature": lambda it: it.pop("signature"),
    "digits": lambda it: it["links"].__setitem__(0, "xyz"),
    "type": lambda it: it.update(seq="42"),
    "version": lambda it: it.update(meterd_checkpoint=2),
    "missing": lambda it: it.pop("seq"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_checkpoint_that_was_changed_is_refused(path: Path, change: str) -> None:
    found = json.loads(path.read_text())
    CHANGES[change](found)
    path.write_text(json.dumps(found))
    with pytest.raises(CheckpointError, match=r"checkpoint\.json") as refused:
        read(path, None)
    assert "\n" not in str(refused.value)


def test_a_checkpoint_that_somebody_else_signed_is_refused(path: Path) -> None:
    with pytest.raises(CheckpointError, match="is signed by U"):
        read(path, public_key_of(OTHER))


@pytest.mark.parametrize("text", ["", "not a seed", SEED[:-1], SEED.lower(), "ünï"])
def test_a_key_file_without_a_seed_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(CheckpointError, match="no nkey seed") as refused:
        public_key_of(read_seed(tmp_path / "key"))
    assert not text or text not in str(refused.value)


def test_a_new_key_file_is_for_its_owner_alone_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_seed(path, SEED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_key_of(read_seed(path)) == public_key_of(SEED)
    with pytest.raises(CheckpointError, match="exists"):
        write_seed(path, OTHER)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        read(tmp_path / "gone", None)
    with pytest.raises(CheckpointError, match="No such file"):
        read_seed(tmp_path / "gone")
