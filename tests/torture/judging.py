"""What must hold of a real service after whatever went wrong, whatever its clients were told."""

from __future__ import annotations

import asyncio
import json
import os
from functools import partial
from typing import Any, Final, cast

from actors.billing.publications import notices_of
from messages.catalog import CATALOG_USER
from messages.codec import decode_event
from messages.subjects import PREFIX
from persistence.records import Row
from tests.sim.world.checks import check_repeats
from tests.sim.world.verdict import check_told, read_all
from tests.support.meterd import METERD
from tests.support.rig import Rig
from tests.support.service import ROOT
from tests.torture.book import Tortured, ask
from tests.torture.line import read_log
from tests.torture.stage import NEVER_S, Stage, now

LOOK_S: Final = 0.05

Notices = dict[str, set[tuple[str, bytes]]]


async def judge(book: Tortured) -> int:
    """Check everything; how many answers were compared with the model of the contract.

    The service runs on, and has ended in order afterwards.
    """
    stage = book.line.stage
    await book.line.flush()
    listed = await read_all(book, partial(ask, book))
    book.hear_late()
    await verify(stage)
    await check_repeats(book, cast("Rig", book.line))
    streamed = await _streamed(book) if stage.stream else None
    await stage.stop()
    book.line.check_answers()
    await verify(stage)

    book.rows = rows = read_log(stage)
    check_notices(book, rows, streamed)
    # Its own subscription hands a rebuild over, before or behind what came with it.
    book.arrivals = [arrival for arrival in book.arrivals if arrival.sent.verb != "rebuild"]
    return check_told(book, rows, listed)


async def _streamed(book: Tortured) -> Notices:
    """The stream, once it has all alerts of the log, or after so long."""
    wanted = set(alerts_of(notices_in(read_log(book.line.stage))))
    end = now() + NEVER_S
    while True:
        found = await book.line.streamed()
        if not wanted - found.keys() or now() >= end:
            return found
        await asyncio.sleep(LOOK_S)


def notices_in(rows: list[Row]) -> Notices:
    """What a log has published, by its id."""
    return {
        notice.id: {(notice.subject, notice.payload)}
        for row in rows
        if row.user != CATALOG_USER
        for notice in notices_of(
            PREFIX, row.user, decode_event(row.kind, row.body), row.at, row.seq
        )
    }


def alerts_of(notices: Notices) -> Notices:
    """Those that go into the stream."""
    return {name: found for name, found in notices.items() if ".alert." in min(found)[0]}


def check_notices(book: Tortured, rows: list[Row], streamed: Notices | None) -> None:
    """What was published is what the log says, each with one content.

    If only the service died all of it was. A server that dies may take some along, but
    none of the alerts if it keeps them in a stream.
    """
    wanted = notices_in(rows)
    heard = book.line.notices
    for name, contents in heard.items():
        assert contents == wanted.get(name), (name, "was published and is not of the log")
    if streamed is not None:
        assert streamed == alerts_of(wanted), "the stream is another"
    if not book.events["server deaths"]:
        assert set(heard) == set(wanted), "a notice was not published"


async def verify(stage: Stage) -> dict[str, Any]:
    """`meterd verify` finds nothing."""
    code, output, complaint = await run_verify(stage)
    assert code == 0, (output, complaint)
    return cast("dict[str, Any]", json.loads(output))


async def run_verify(stage: Stage) -> tuple[int, str, str]:
    """`meterd verify` of a stage: exit code, stdout and stderr."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("METERD_")}
    process = await asyncio.create_subprocess_exec(
        *(*METERD, "verify", "--json", "--url", stage.nats.url),
        *("--data-dir", str(stage.service.data_dir)),
        cwd=ROOT,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(NEVER_S):
            output, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(), complaint.decode()
