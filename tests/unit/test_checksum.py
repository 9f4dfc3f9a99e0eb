"""The checksum of a row."""

from __future__ import annotations

import random
from typing import Any

import pytest

from persistence.chain.chain import LINK_BYTES, about_of
from persistence.chain.checksum import STAMP_BYTES, body_fits, head_fits, stamp, usual_fits
from persistence.records import Row
from tests.support.rows import make_row

LINK = bytes(range(LINK_BYTES))
ROW = make_row(70_000, key="k", body='{"ü":1}', personal='{"ip_address":"::1"}')
ABOUT = about_of(ROW.personal, b"random")
OTHERS: dict[str, Any] = {
    "seq": 70_001,
    "partition": ROW.partition ^ 1,
    "user": "alicf",
    "key": None,
    "kind": "usagd",
    "at": ROW.at + 1,
    "notify": True,
}


@pytest.mark.parametrize("field", OTHERS)
def test_the_first_part_covers_each_field_but_the_body(field: str) -> None:
    stamped = bytes(stamp(LINK, ROW, ABOUT))
    other = ROW._replace(**{field: OTHERS[field]})
    assert head_fits(ROW, stamped)
    assert not head_fits(other, stamped)
    assert body_fits(other, ABOUT, stamped)


def test_the_second_part_covers_the_body_and_what_is_personal() -> None:
    stamped = bytes(stamp(LINK, ROW, ABOUT))
    assert body_fits(ROW, ABOUT, stamped)
    other = ROW._replace(body='{"ü":2}')
    assert not body_fits(other, ABOUT, stamped)
    assert not body_fits(ROW, about_of('{"ip_address":"::2"}', b"random"), stamped)
    assert not body_fits(ROW, None, stamped)
    assert head_fits(other, stamped)


USUAL = ROW._replace(personal=None)


@pytest.mark.parametrize(
    "other",
    [USUAL._replace(**{field: of}) for field, of in OTHERS.items() if field != "notify"]
    + [USUAL._replace(body='{"ü":2}'), USUAL._replace(at=1 << 64)],
)
def test_of_a_usual_row_both_parts_are_compared_at_once(other: Row) -> None:
    stamped = bytes(stamp(LINK, USUAL, None))
    assert usual_fits(*USUAL[:6], USUAL.body.encode(), stamped)
    assert not usual_fits(*other[:6], other.body.encode(), stamped)
    notifies = bytes(stamp(LINK, USUAL._replace(notify=True), None))
    assert not usual_fits(*USUAL[:6], USUAL.body.encode(), notifies)


def test_any_bit_of_what_is_stored_of_link_and_checksum_matters() -> None:
    stamped = bytes(stamp(LINK, ROW, ABOUT))
    assert len(stamped) == STAMP_BYTES
    for bit in range(8 * STAMP_BYTES):
        other = bytearray(stamped)
        other[bit // 8] ^= 1 << bit % 8
        assert not (head_fits(ROW, bytes(other)) and body_fits(ROW, ABOUT, bytes(other)))


def test_a_row_fits_its_own_stamp_only() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    rows = [
        Row(n, n % 64, f"u{rng.randrange(4)}", None, "usage", 10**15 + n, False, '{"n":1}', None)
        for n in rng.sample(range(1, 2**40), 50)
    ]
    stamps = [bytes(stamp(LINK, row, None)) for row in rows]
    for at, row in enumerate(rows):
        assert [head_fits(row, one) for one in stamps] == [at == n for n in range(len(rows))]
