"""A start over damaged bytes that it needs: one line says which they are and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from messages.catalog import CATALOG_USER
from messages.stored.form import FORM
from persistence.records import Row
from persistence.sqlite.journal import SQLiteJournal
from tests.support.service import Service, ServiceEndedError


async def test_a_start_without_a_row_of_the_catalogue_names_it_and_what_to_do(
    tmp_path: Path,
) -> None:
    journal = await SQLiteJournal.open(tmp_path / "data", FORM)
    await journal.append([Row(1, 0, CATALOG_USER, "k", "price_put", 1, False, "{", None)])
    await journal.close()
    service = Service(tmp_path / "data", command="up", env={})
    with pytest.raises(ServiceEndedError) as caught:
        service.start()
    assert caught.value.code == 1
    (line,) = caught.value.stderr.splitlines()
    assert line.startswith("meterd: row 1 of meterd.db ")
    assert "meterd mend" in line
    assert service.lines == []
