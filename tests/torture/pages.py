"""Damaged pages of the database: what the service then says, and what `meterd verify` finds."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from messages.subjects import PREFIX, request_subject
from persistence.records import Row
from persistence.sqlite.data_dir import DATABASE
from tests.support.raw import Message, RawClient
from tests.support.service import ServiceEndedError
from tests.torture.book import Tortured, clients
from tests.torture.damage import copy_files, damage_file, damage_row
from tests.torture.judging import judge, run_verify
from tests.torture.line import read_log
from tests.torture.rounds import CALLS, CLIENTS, JUMPS, USERS, Result, fresh
from tests.torture.shim import Shim
from tests.torture.stage import NEVER_S, Stage, now

READS: Final = ("stats", "logs", "holds", "subscription", "alerts")
TRIES: Final = 3


@dataclass
class Whole:
    """What is there before any damage."""

    copies: Path
    rows: list[Row]
    said: dict[tuple[str, str], Any]


async def damage_pages(directory: Path, seed: int, times: int) -> Result:
    """Damage the same database in other ways, so many times: a row of the log, then anything.

    What is anywhere may be of no account, a row may not.
    """
    rng = random.Random(f"pages.{seed}")
    stage = Stage(fresh(directory), Shim(directory), snapshot_events="20", log_level="error")
    result = Result("page")
    try:
        whole = await _live(stage, rng, result)
        for number in range(times):
            copy_files(whole.copies, stage.service.data_dir)
            database = stage.service.data_dir / DATABASE
            if number == 0:
                damage_row(database, [row.body for row in whole.rows], rng)
            else:
                damage_file(database, rng)
            code = await _look(stage, whole, result)
            assert code or number, "another row, of which verify says nothing"
            result.times += 1
    finally:
        stage.close()
    return result


async def _live(stage: Stage, rng: random.Random, result: Result) -> Whole:
    """A life without faults, and what the service says at its end."""
    book = Tortured.of(stage, rng, USERS, JUMPS)
    try:
        async with asyncio.TaskGroup() as parts:
            parts.create_task(stage.run())
            await stage.up.wait()
            await book.line.open()
            async with asyncio.TaskGroup() as calls:
                for client in clients(book, CLIENTS):
                    calls.create_task(client.run(CALLS))
            result.compared = await judge(book)
    finally:
        await book.line.close()
    result.requests, result.rows = len(book.line.sent), len(book.rows)
    copies = stage.directory / "copies"
    copy_files(stage.service.data_dir, copies)
    await asyncio.to_thread(stage.service.start, NEVER_S)
    said = await asyncio.to_thread(_ask, stage)
    stage.service.kill()
    assert not any("error" in answer for answer in said.values())
    return Whole(copies, book.rows, said)


async def _look(stage: Stage, whole: Whole, result: Result) -> int:
    """Have the damage met, and nothing wrong be said of it; `verify`'s exit code.

    What that finds nothing in must be whole.
    """
    service, notes = stage.service, result.notes
    began = now()
    refusal = await _refusal(stage)
    if refusal:
        result.failed.append(refusal)
    else:
        said = await asyncio.to_thread(_ask, stage)
        result.first_s.append(now() - began)
        refused = sum("error" in answer for answer in said.values())
        wrong = [place for place, answer in said.items() if _is_wrong(answer, whole.said[place])]
        notes["answers refused"] = notes.get("answers refused", 0) + refused
        assert not wrong, [(place, said[place], whole.said[place]) for place in wrong]
        service.kill()
    code, output, complaint = await run_verify(stage)
    assert "Traceback" not in complaint, complaint
    notes[f"verify {code}"] = notes.get(f"verify {code}", 0) + 1
    if code == 0:
        assert read_log(stage) == whole.rows, "a changed log, of which verify says nothing"
    elif code == 1:
        assert json.loads(output)["differences"]
    else:
        assert len(complaint.splitlines()) == 1, complaint
    return code


async def _refusal(stage: Stage) -> str:
    """Start the service; the clear line with which it refuses, "" if it does not."""
    try:
        await asyncio.to_thread(stage.service.start, NEVER_S)
    except ServiceEndedError as error:
        code, lines = error.code, error.stderr.splitlines()
    else:
        return ""
    assert code == 1, lines
    assert lines[-1].startswith("meterd: "), lines
    assert "Traceback" not in "".join(lines), lines
    return lines[-1]


def _is_wrong(answer: Any, right: Any) -> bool:
    """Whether it is neither right nor an error; a page of the log may end before its time."""
    if "error" in answer:
        return False
    if answer.get("next_cursor"):
        return bool(answer["logs"] != right["logs"][: len(answer["logs"])])
    return bool(answer != right)


def _ask(stage: Stage) -> dict[tuple[str, str], Any]:
    """What the service says of everybody; an error that stays is an answer too."""
    said: dict[tuple[str, str], Any] = {}
    with RawClient(stage.nats.url) as client:
        for user in USERS:
            for verb in READS:
                for _ in range(TRIES):
                    subject = request_subject(PREFIX, verb, user)
                    message: Message = client.request(subject, wait_s=NEVER_S)
                    said[user, verb] = answer = message.json()
                    if "error" not in answer:
                        break
    return said
