"""Columns of units in files of usage."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from tests.unit.test_importer import Read


def test_columns_of_units_are_exact_numbers_and_one_named_alone_wins(tmp_path: Path) -> None:
    rows = "user,provider,event_id,units.seconds,units\n"
    rows += 'a,openai,1,1.50,"{""seconds"": 2, ""web_searches"": 0.1}"\na,openai,2,,\n'
    read = Read(tmp_path / "usage.csv", rows + "a,openai,3,many,\na,openai,4,,[1]\na,openai,5,,{\n")
    units = [body.get("units") for body in read.bodies]
    assert units == [{"seconds": Decimal("1.50"), "web_searches": Decimal("0.1")}, None]
    assert [why for _, _, why in read.refused] == [
        "units.seconds: not a number: 'many'",
        "units: not a JSON object: [1]",
        "units: not a JSON object: '{'",
    ]
