"""What callers send back as a cursor of `logs` may be anything."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.billing.catalog.defaults import default_catalog
from actors.billing.reports.usage_log import filter_of, read_cursor
from messages.errors import InvalidRequest
from tests.support.meter import a_logs

ALL = filter_of(a_logs(), default_catalog())


def forged(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "!!!!", "é", "a b", "=" * 8, "A" * 512, "A" * 511, "\n"),
        *(forged(text) for text in (b":", b"5", b"\xff:x", b"5:", b"5:other")),
        *(forged(f"{n}:{ALL.digest()}".encode()) for n in ("0", "-1", "1.0", "1e3", " 5", "٣")),
        forged(f"{2**63}:{ALL.digest()}".encode()),
        forged(b"9" * 300 + f":{ALL.digest()}".encode()),
    ],
)
def test_an_invalid_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_cursor(cursor, ALL)
    assert caught.value.field == "cursor"


@given(st.text(max_size=40))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        before = read_cursor(text, ALL)
    except InvalidRequest:
        return
    assert before > 0
