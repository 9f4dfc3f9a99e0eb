"""Answers, refusals and log lines beside what they have to be."""

from __future__ import annotations

import re
from typing import Any, Final

from tests.support.rig import Logs
from tests.sweep import outcomes as o
from tests.sweep.outcomes import Notes
from tests.sweep.truth import REPEATED, Question

FILES: Final = re.compile(r"meterd\.(db|mark)|index\.db|keys\.filter|\.jsonl\.gz")
CURES: Final = re.compile(r"restore|remove|mend|verify|put it back", re.IGNORECASE)
PLACE: Final = re.compile(r"\d|table archives")
"""A position, the name of an archive, which has two, or where such names are."""
_LISTED: Final = "users"


def judge_answer(question: Question, answer: Any, right: Any, notes: Notes) -> None:
    """Note what differs, part by part if each part is an answer of its own."""
    if answer == right:
        return
    if question.verb == "users.list" and _LISTED in answer:
        answer = answer | {_LISTED: _without_unknown(answer[_LISTED], right[_LISTED])}
    parts = {"batch": "results", "users.list": _LISTED}.get(question.verb, "")
    if parts and len(answer.get(parts, ())) == len(right.get(parts, ())) > 0:
        for one, wanted in zip(answer[parts], right[parts], strict=True):
            _judge_one(question, one, wanted, notes)
    else:
        _judge_one(question, answer, right, notes)


def judge_refusal(why: str, notes: Notes) -> None:
    """Note that the start was refused, and whether the message is of use."""
    notes.add(o.REFUSED, why)
    if "\n" in why or not FILES.search(why) or not CURES.search(why):
        notes.add(o.UNCLEAR, f"the start is refused: {why}")


def judge_lines(lines: Logs, notes: Notes) -> None:
    """What is unavailable has a line at error level, once for each place; no line has a trace."""
    for line in lines:
        if line.get("exc_info"):
            notes.add(o.INTERNAL, f"the log has a traceback: {line!r}")
    damaged = [line for line in lines if line["event"] == "damaged"]
    if o.UNAVAILABLE in notes.found and not damaged:
        notes.add(o.UNSAID, f"no line for: {notes.found[o.UNAVAILABLE]}")
    places = [(line.get("file"), line.get("place")) for line in damaged]
    if len(places) != len(set(places)):
        notes.add(o.UNSAID, f"a place is named twice: {places}")
    for line in damaged:
        if line["log_level"] != "error" or not all(map(line.get, ("file", "place", "do"))):
            notes.add(o.UNSAID, f"the line is not complete: {line!r}")


def _judge_one(question: Question, answer: Any, right: Any, notes: Notes) -> None:
    if answer == right:
        return
    said = f"{question.verb} of {question.user or 'the catalogue'} {question.body}"
    error = answer.get("error", answer if "code" in answer else None)
    if error is None:
        doubled = question.round in REPEATED and answer.get("duplicate") is False
        if question.verb == "users.list" and _is_unknown(answer, right):
            notes.add(o.UNAVAILABLE, f"{said}: nothing is known of {right['user_id']}")
            return
        notes.add(o.DOUBLED if doubled else o.WRONG, f"{said:.200}: {_difference(answer, right)}")
    elif error["code"] == "internal":
        notes.add(o.INTERNAL, f"{said}: {error['message']}")
    elif error["code"] != "unavailable":
        notes.add(o.WRONG, f"{said}: {error['code']}, {error['message']}")
    else:
        notes.add(o.UNAVAILABLE, f"{said}: {error['message']}")
        if not PLACE.search(error["message"]):
            notes.add(o.UNCLEAR, f"{said}: {error['message']}")


def _without_unknown(users: list[Any], right: list[Any]) -> list[Any]:
    """A list without those whose numbers are not known and who would not be there if they were."""
    there = {user["user_id"] for user in right}
    return [
        user
        for user in users
        if user["user_id"] in there or user != dict.fromkeys(user) | {"user_id": user["user_id"]}
    ]


def _is_unknown(entry: Any, right: Any) -> bool:
    """Whether an entry of a list of users says that the user's numbers are not known."""
    return bool(right.get("user_id")) and entry == dict.fromkeys(right) | {
        "user_id": right["user_id"]
    }


def _difference(answer: Any, right: Any) -> str:
    """The fields that differ, and what they say."""
    fields = [name for name in {**answer, **right} if answer.get(name) != right.get(name)]
    return "; ".join(
        f"{name} is {answer.get(name)!r:.120} and not {right.get(name)!r:.120}" for name in fields
    )
