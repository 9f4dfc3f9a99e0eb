"""Providers by the contract: what each name stands for, and who serves a call."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

from tests.sim.model import reference as r
from tests.sim.model.reference import Refused

Row = dict[str, Any]
Known = dict[str, Row]
"""Providers by their ids, in the order in which they came."""

TEXT_GROUP = "ai_text_generation"


def plain(name: str) -> Row:
    """A provider as it is before anybody has put it."""
    row = r.PROVIDERS.get(name, {})
    return {
        "name": name,
        "kind": row.get("kind", "other"),
        "default_model": row.get("default_model", "default"),
        "served_by": row.get("actual", name),
        "aliases": list(row.get("aliases", ())),
        "groups": list(row.get("groups", ())),
        "detect": [
            (actual, [f"*{mark}*" for mark in marks]) for actual, marks in row.get("detect", ())
        ],
        "archived": False,
        "registered": False,
        "version": 1,
    }


def _listed(row: Row) -> Row:
    """A provider of the default list."""
    return plain(row["id"]) | {"kind": row["kind"], "aliases": row.get("aliases", [])}


LISTED: list[Row] = json.loads((r.DATA / "default_list.json").read_text())["providers"]
FIRST: Known = {
    **{name: plain(name) for name in r.PROVIDERS},
    **{row["id"]: _listed(row) for row in LISTED},
}


def named(known: Known, text: str) -> Row:
    """The provider of an id or alias, or the one that a call would store by naming it."""
    for row in known.values():
        if text == row["name"] or text in row["aliases"]:
            return row
    if re.fullmatch("[a-z0-9][a-z0-9_.-]{0,63}", text) is None:
        raise Refused("unknown_provider", "provider")
    return plain(text)


def actual_of(row: Row, model: str | None) -> str:
    """Who serves a call of a model, which may be none."""
    for actual, globs in row["detect"]:
        if model and any(fnmatchcase(model.lower(), glob) for glob in globs):
            return str(actual)
    return str(row["served_by"])


def of_text(row: Row) -> bool:
    """Whether its calls count in the limit of the text group."""
    return TEXT_GROUP in row["groups"]


def put(known: Known, body: Row, version: int) -> Known:
    """The providers after one was put, whole."""
    name, row = body["id"], plain(body["id"])
    for field in ("default_model", "served_by", "aliases", "groups"):
        row[field] = body.get(field, row[field])
    if "detect" in body:
        row["detect"] = [(each["actual"], each["model"]) for each in body["detect"]]
    others = [each for each in known.values() if each["name"] != name]
    if any(name in each["aliases"] for each in others):
        raise Refused("invalid_request", "id")
    taken = {name, *(text for each in others for text in (each["name"], *each["aliases"]))}
    if taken & {*row["aliases"]}:
        raise Refused("invalid_request", "aliases")
    return {**known, name: {**row, "version": version}}


def archived(known: Known, name: str, version: int) -> Known:
    """The providers after one was archived."""
    if name not in known:
        raise Refused("unknown_provider", "id")
    return {**known, name: {**known[name], "archived": True, "version": version}}


def registered(known: Known, name: str, version: int) -> Known:
    """The providers after a call was the first to name one."""
    assert name not in known, (name, "is there already")
    return {**known, name: {**plain(name), "registered": True, "version": version}}


def shown(row: Row) -> Any:
    """A provider as a list shows it."""
    names = ("name", "kind", "default_model", "served_by", "archived", "registered", "version")
    lists = ("aliases", "groups")
    detect = [actual for actual, _ in row["detect"]]
    return [row[name] for name in names], [[*row[name]] for name in lists], detect
