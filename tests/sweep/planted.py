"""Defects to plant: a check that is not made, each of which the sweep has to find.

A check is a function that says whether something fits. Where it is named, and wherever else it was
imported to, one that is content with everything takes its place.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from actors.billing.state import snapshot
from actors.billing.state.account import Account
from messages.stored.snapshot import DECODER
from persistence.key_filter import Part as Filtered
from persistence.key_filter import empty_words
from persistence.sqlite import key_filter_file
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.key_filter_file import Kept
from persistence.sqlite.key_filter_store import FILE as KEYS
from tests.sweep.damages import BIT, BLANK, EXCHANGED, Damage
from tests.sweep.looking import LACKS
from tests.sweep.running import Stage

ROOMS: Final = ("actors.", "persistence.", "messages.")


class Plant(NamedTuple):
    """A check that is left out.

    Attributes:
        name: what is not compared.
        path: module and name of the function, with a colon between them.
        put: takes the place of the function.
        file: of the damages that show it.
        kinds: of these.
        columns: one of which the damage has to change, each behind its table; none: any.
    """

    name: str
    path: str
    put: Callable[..., Any]
    file: str
    kinds: tuple[str, ...]
    columns: frozenset[str] = frozenset()


def _content(*_: object, **__: object) -> bool:
    return True


def _decode(user: str, body: bytes) -> Account:
    return snapshot._account(user, DECODER.decode(body[: -snapshot.DIGEST_BYTES]))


def _any_filter(path: Path) -> Kept:
    with path.open("rb") as file:
        header, _ = key_filter_file._read_header(file)
        parts = []
        for count, left in zip(header.words, header.left, strict=True):
            words = empty_words(count)
            file.readinto(words.cast("B"))
            parts.append(Filtered(words, left))
    return Kept(parts, header.seq, header.anchor)


_HEAD: Final = frozenset({"log.user_id", "log.event_id", "log.kind", "log.at"})
_BODY: Final = frozenset({"log.body", "log.personal"})
_SNAPSHOT: Final = frozenset({"snapshots.body"})
_CHECKSUM: Final = "persistence.chain.checksum"
_STATE: Final = "actors.billing.state.snapshot"
_MISSING: Final = frozenset({f"log.{LACKS}", "log.seq"})
_BLOCK: Final = frozenset({"blocks.body"})
_REFUSE: Final = "persistence.sqlite.stored_rows:StoredRows._refuse"
_READS: Final = "persistence.sqlite.index_reads"
_KEYS: Final = "persistence.sqlite.key_filter_file"
PLANTS: Final = (
    Plant("a row's head", f"{_CHECKSUM}:head_fits", _content, DATABASE, (BIT,), _HEAD),
    Plant("a row's body", f"{_CHECKSUM}:body_fits", _content, DATABASE, (BIT,), _BODY),
    Plant("a snapshot's digest", f"{_STATE}:decode", _decode, DATABASE, (BIT,), _SNAPSHOT),
    Plant("a row that is missing", _REFUSE, _content, DATABASE, (BIT, EXCHANGED), _MISSING),
    Plant("the checksum of a block", f"{_READS}:_same", _content, INDEX, (BIT,), _BLOCK),
    Plant("the filter of keys", f"{_KEYS}:read", _any_filter, KEYS, (BLANK, BIT)),
)
"""What can be left out; a check that is added has its line here."""


def plant(defect: Plant) -> None:
    """Put it into this process, for good."""
    module, _, name = defect.path.partition(":")
    owner: Any = importlib.import_module(module)
    *inside, last = name.split(".")
    for part in inside:
        owner = getattr(owner, part)
    found = getattr(owner, last)
    setattr(owner, last, defect.put)
    for other, namespace in [*sys.modules.items()]:
        if not inside and other.startswith(ROOMS):
            for alias, value in [*vars(namespace).items()]:
                if value is found:
                    setattr(namespace, alias, defect.put)


def fitting(defect: Plant, stage: Stage) -> list[Damage]:
    """The damages that can show it, in any order."""
    found = [
        damage
        for damage in stage.damages()
        if damage.file == defect.file and damage.kind in defect.kinds
    ]
    return random.Random(defect.name).sample(found, len(found))
