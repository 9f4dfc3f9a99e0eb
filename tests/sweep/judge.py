"""What a service says on a damaged directory, and what is to be thought of it."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from actors.app import StartError
from messages.subjects import PREFIX
from persistence.damage import in_full
from persistence.errors import JournalError
from tests.support.rig import Logs, Rig
from tests.sweep import outcomes as o
from tests.sweep.answers import judge_answer, judge_lines, judge_refusal
from tests.sweep.directory import serving
from tests.sweep.outcomes import Notes
from tests.sweep.truth import READ, ROUNDS, Question, Truth, shown

HUNG_S: Final = 20.0
"""A hundred times what a case takes."""
AGAIN_S: Final = 2.0
"""For as long, what may be asked again is asked again."""
LOOK_S: Final = 0.01


async def judge_service(directory: Path, truth: Truth, lines: Logs, notes: Notes) -> None:
    """Start a service, ask everything, and note what it says; ``lines``: its log."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: notes.add(o.INTERNAL, _told(context)))
    try:
        async with asyncio.timeout(HUNG_S), serving(directory, at=truth.at) as (journal, rig):
            for each in ROUNDS:
                await _ask_round(rig, truth, each, notes)
                _judge_published(rig, truth, notes, at_rest=each == READ)
            for why in rig.ended:
                notes.add(o.ENDED, why)
            making = journal._index._rebuild._making
            if making is not None:  # else a busy machine decides on whether it is made anew
                await asyncio.wait({making}, timeout=AGAIN_S)
    except (JournalError, StartError) as error:
        judge_refusal(in_full(error) if isinstance(error, JournalError) else str(error), notes)
    except TimeoutError:
        notes.add(o.HUNG, f"after {HUNG_S:g} s")
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is an outcome
        notes.add(o.INTERNAL, repr(error))
    judge_lines(lines, notes)


async def _ask_round(rig: Rig, truth: Truth, each: str, notes: Notes) -> None:
    pairs = zip(truth.questions, truth.answers, strict=True)
    asked = [(question, right) for question, right in pairs if question.round == each]
    sent = [_send(rig, question) for question, _ in asked]
    for (question, right), to in zip(asked, sent, strict=True):
        answer = (await rig.answer(to)).body
        if _is_promised(answer) and o.UNKEPT not in notes.found:
            answer = await _ask_again(rig, question)
            if _is_promised(answer):
                notes.add(o.UNKEPT, (question, answer))
        if question.verb == "logs" and "logs" in answer:
            answer = await _read_on(rig, question, answer, right)
        judge_answer(question, shown(question, answer), right, notes)


def _send(rig: Rig, question: Question) -> str:
    if question.user:
        return rig.send(question.verb, question.user, **question.body)
    payload = json.dumps(question.body).encode() if question.body else b""
    return rig.deliver(f"{PREFIX}.catalog.{question.verb}", payload)


def _is_promised(answer: Any) -> bool:
    """Whether it says that another try may help."""
    return bool("error" in answer and answer["error"]["retryable"])


async def _ask_again(rig: Rig, question: Question) -> Any:
    """What is said in the end to one who asks as often as told."""
    end = time.monotonic() + AGAIN_S
    while True:
        answer = (await rig.answer(_send(rig, question))).body
        wait_s = answer.get("error", {}).get("retry_after")
        if not _is_promised(answer) or wait_s is None or time.monotonic() >= end:
            return answer
        rig.seconds += wait_s  # of the registry's own clock
        rig.link.arrived.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await rig.link.arrived.wait()


async def _read_on(rig: Rig, question: Question, answer: Any, right: Any) -> Any:
    """A page that ends before its time, as it may, with the pages behind it; or their error."""
    wanted, page = right.get("logs", []), answer
    while cursor := page["next_cursor"]:
        left = len(wanted) - len(answer["logs"])
        if left <= 0 and right.get("next_cursor"):
            break
        body = question.body | {"limit": max(left, 1), "cursor": cursor}
        page = (await rig.answer(_send(rig, question._replace(body=body)))).body
        if "error" in page:
            right_so_far = answer["logs"] == wanted[: len(answer["logs"])]
            return page if right_so_far else answer
        answer = page | {"logs": answer["logs"] + page["logs"]}
    if page["next_cursor"] and right.get("next_cursor"):  # it is opaque, and leads on
        answer = answer | {"next_cursor": right["next_cursor"]}
    return answer


def _judge_published(rig: Rig, truth: Truth, notes: Notes, *, at_rest: bool) -> None:
    """A notice is one that the log has, with its content; changes have others, not at rest."""
    for one in rig.link.published:
        payload = one.payload.decode()
        if truth.published.get(one.id, "" if at_rest else payload) != payload:
            notes.add(o.WRONG, f"published {one.id}: {payload}")


def _told(context: dict[str, Any]) -> str:
    return repr(context.get("exception") or context.get("message"))
