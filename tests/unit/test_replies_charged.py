"""Real replies of SDKs through the service: what is charged, by the rows of LiteLLM's list."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from actors.cli.importer.pricelists.litellm import read_litellm
from actors.cli.importer.pricelists.puts import planned
from actors.cli.importer.pricelists.rows import PriceList
from actors.cli.importer.pricelists.sending import read_known, send
from messages.client.client import UsageClient
from messages.units import to_datetime
from tests.support.commanded import DAY, client_of, served
from tests.support.litellm_charges import list_text
from tests.support.real_replies import REAL_REPLIES
from tests.support.rig import Rig

FILE_SEARCH = {"file_searches": Decimal("0.0025")}
"""The one price that is in LiteLLM's code and not in its list."""


def test_thirty_replies_of_sdks_are_charged_what_is_right_to_the_last_decimal(
    tmp_path: Path,
) -> None:
    bodies = {f"{reply.provider} {reply.name}": reply.body() for reply in REAL_REPLIES}
    models: set[Any] = {(body["provider"], body.get("model_used")) for body in bodies.values()}

    async def charged(rig: Rig) -> dict[str, Any]:
        client = client_of(rig)
        await put(client, models)
        return {name: await client.track("alice", **body) for name, body in bodies.items()}

    found = served(tmp_path / "data", charged)
    wanted = {f"{one.provider} {one.name}": Decimal(one.usd) for one in REAL_REPLIES}
    assert len(wanted) == 30
    assert {name: one.cost for name, one in found.items()} == wanted
    assert {(one.priced, one.matched_by, one.unpriced) for one in found.values()} == {
        ("catalog", "exact", ())
    }


async def put(client: UsageClient, models: set[Any]) -> None:
    """Import the rows of these models, each of which the list has."""
    whole = read_litellm(list_text())
    rows = [row for row in whole.rows if (row.provider, row.model) in models]
    assert {(row.provider, row.model) for row in rows} == models
    for row in rows:
        if row.model == "gpt-5.6-sol":
            row.fields["units"] = {**row.fields["units"], **FILE_SEARCH}
    known, providers = await read_known(client.request_catalog)
    plan = planned(PriceList(rows), known, providers, to_datetime(DAY))
    sent = await send(client.request_catalog, plan)
    assert (sent.put, sent.refused, sent.failure) == (plan.put, [], None)
