"""Makes the default list of prices from the installed package genai-prices.

``python -m actors.cli.importer.default_catalogue`` (``make prices``) writes
``actors/billing/catalog/data/default_list.json`` and the licence of the package beside it. The
same packages make the same bytes. It is run when the package has a newer list, by a developer;
the service reads the file and never the package.

What the package says more than once is left out: a row that v1's list of prices has, which wins
as a whole, and prices that were over at the list's date.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from importlib.metadata import files, version
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.billing.catalog.default_list import DefaultList
from actors.cli.importer.pricelists.genai import read_genai_prices
from actors.cli.importer.pricelists.litellm import names_of
from actors.cli.importer.pricelists.rows import ListedPrice, PriceList
from actors.cli.importer.pricelists.sources import genai_providers

PACKAGE: Final = "genai-prices"
_NAMES: Final = "litellm"
_NAMES_FILE: Final = "model_prices_and_context_window_backup.json"
_DATA: Final = Path(__file__).resolve().parents[2] / "billing" / "catalog" / "data"
LIST: Final = _DATA / "default_list.json"
LICENCE: Final = _DATA / "default_list.LICENSE"
_V1: Final = "prices.json"


def made(until: date) -> bytes:
    """The list as a file.

    Args:
        until: days on which prices change after it are still to come; the list's date is the
            newest such day that is not.
    """
    providers, number = genai_providers()
    names = _names()
    listed = newest(providers, until)
    found = read_genai_prices(providers, listed, names=names)
    rows = without_v1(found)
    used = {row.provider for row in rows}
    whole = DefaultList(
        source=f"{PACKAGE} {number}",
        licence="MIT",
        names=f"{_NAMES} {version(_NAMES)}",
        date=listed.isoformat(),
        providers=[one.body() for one in found.providers if one.id in used],
        prices=[row.body() for row in sorted(rows, key=_order)],
    )
    return encoded(whole)


def encoded(whole: DefaultList) -> bytes:
    """A line for each provider and each row, so that a change of the list is one of lines."""
    encode = msgspec.json.Encoder(decimal_format="number", order="sorted").encode
    head = {n: getattr(whole, n) for n in ("source", "licence", "names", "date")}
    parts = [encode(head)[:-1]]
    for name, bodies in (("providers", whole.providers), ("prices", whole.prices)):
        parts.append(b',"%s":[\n%s\n]' % (name.encode(), b",\n".join(map(encode, bodies))))
    return b"".join(parts) + b"}\n"


def newest(providers: Iterable[Any], until: date) -> date:
    """The newest day not after ``until`` on which a price of the package changed."""
    days: list[date] = [
        day
        for provider in providers
        for model in provider.models
        for one in (
            *(model.prices if isinstance(model.prices, list) else ()),
            *(model.price_variants or ()),
        )
        if (day := getattr(one.constraint, "start_date", None)) is not None and day <= until
    ]
    return max(days)


def without_v1(found: PriceList) -> list[ListedPrice]:
    """The rows that v1's list of prices does not have, and no alias that is a model of it."""
    text = resources("actors.billing.catalog").joinpath("data", _V1).read_bytes()
    v1 = {(one["provider"], one["model"]) for one in msgspec.json.decode(text)}
    rows = []
    for row in found.rows:
        if (row.provider, row.model) in v1 and not row.variant:
            continue
        fields = dict(row.fields)
        kept = [a for a in fields.pop("aliases", ()) if (row.provider, a) not in v1]
        if kept:
            fields["aliases"] = kept
        rows.append(ListedPrice(row.provider, row.model, fields, row.variant, row.since))
    return rows


def _names() -> Mapping[str, list[str]]:
    """Names that match rules are tried on: those of the other list, which is beside litellm."""
    for one in files(_NAMES) or ():
        if one.name == _NAMES_FILE:
            return names_of(Path(str(one.locate())).read_text("utf-8"))
    raise FileNotFoundError(_NAMES_FILE)


def _order(row: ListedPrice) -> tuple[str, str, str, date]:
    return (*row.key, row.since or date.min)


def _licence() -> str:
    for one in files(PACKAGE) or ():
        if one.name == "LICENSE":
            return Path(str(one.locate())).read_text("utf-8")
    raise FileNotFoundError("LICENSE")


def main() -> None:
    """Write the list and its licence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--until", type=date.fromisoformat, default=datetime.now(UTC).date())
    LIST.write_bytes(made(parser.parse_args().until))
    LICENCE.write_text(f"{LIST.name} is made from {PACKAGE}:\n\n{_licence()}", "utf-8")


if __name__ == "__main__":
    main()
