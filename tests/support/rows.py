"""Rows and snapshots for journal tests, with only what a test is about written out."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from messages.subjects import encode_user, partition_of
from persistence.records import Row, Snapshot

CALL: Final[dict[str, Any]] = {
    "provider": "openai",
    "actual": "openai",
    "model": "m",
    "billing_period": "2026-03",
    "status": "active",
    "priced": "catalog",
}
"""What every stored call has."""


def make_row(
    seq: int,
    user: str = "alice",
    *,
    key: str | None = None,
    kind: str = "usage",
    notify: bool = False,
    body: str = "{}",
    personal: str | None = None,
) -> Row:
    """A row of ``user`` at ``seq``, in the user's partition, one second after the one before."""
    at = 1_700_000_000_000_000 + seq * 1_000_000
    partition = partition_of(encode_user(user)) if user else 0
    return Row(seq, partition, user, key, kind, at, notify, body, personal)


def make_snapshot(user: str, seq: int, body: bytes = b"{}", schema: int = 1) -> Snapshot:
    """A snapshot of ``user`` as of ``seq``."""
    return Snapshot(partition_of(encode_user(user)), user, seq, schema, body)


def make_rows(random_: random.Random, first: int, count: int) -> list[Row]:
    """Rows of a few users with random keys, kinds and notices."""
    kinds = ("usage", "usage", "usage", "reset", "hold", "period_rolled")
    return [
        make_row(
            seq,
            f"user-{random_.randrange(7)}",
            key=f"{random_.getrandbits(128):032x}" if random_.random() < 0.8 else None,
            kind=random_.choice(kinds),
            notify=random_.random() < 0.2,
            body=f'{{"n":{seq}}}',
            personal='{"ip_address":"::1"}' if random_.random() < 0.3 else None,
        )
        for seq in range(first, first + count)
    ]


def of_user(rows: list[Row], user: str, where: Callable[[Row], bool] = lambda _: True) -> list[Row]:
    """The rows of one user for which ``where`` holds."""
    return [row for row in rows if row.user == user and where(row)]
