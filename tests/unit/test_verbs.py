"""One record per verb: all that is derived from it is there, and a new verb needs no more."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from actors.billing.changes import CHANGES
from actors.user.changes import HANDLERS
from actors.user.queries import QUERIES
from messages.client.client import UsageClient
from messages.codec import decoder_of, encode_reply
from messages.verbs import ADMIN, APP, CATALOG_VERBS, DASHBOARD, READER, VERBS, Verb
from tests.support.sources import ROOT

ALL = (*VERBS, *CATALOG_VERBS)


@pytest.mark.parametrize("verb", ALL, ids=lambda verb: verb.name)
def test_a_verb_takes_a_deadline_a_key_if_it_changes_something_and_its_least_body(
    verb: Verb,
) -> None:
    fields = verb.command.__struct_fields__
    assert "deadline" in fields
    assert not verb.keyed or "event_id" in fields or "hold" in fields
    command: object = decoder_of(verb.name)(encode_reply(dict(verb.least)))
    assert isinstance(command, verb.command)
    assert verb.opaque is None or verb.opaque in fields
    assert set(verb.roles) <= {APP, READER, DASHBOARD, ADMIN}
    assert {"seq"} <= set(verb.reply.__struct_fields__)
    assert ({"event_id", "duplicate"} <= set(verb.reply.__struct_fields__)) == verb.keyed


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_service_takes_a_verb_and_the_client_has_a_method_with_its_reply(verb: Verb) -> None:
    assert (verb.command in HANDLERS) == verb.keyed
    assert (verb.command in QUERIES) != verb.keyed
    method = getattr(UsageClient, verb.name)
    assert inspect.iscoroutinefunction(method)
    assert get_type_hints(method)["return"] is verb.reply


def test_each_record_of_a_change_is_that_of_a_verb_that_takes_a_key() -> None:
    assert set(CHANGES) <= {verb.command for verb in VERBS if verb.keyed}
    for command, change in CHANGES.items():
        assert change.command is command


# A toy verb that changes something: what a developer writes for it, and nothing else.
TOY = {
    "messages/subscriptions.py": '''

class Note(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put a note into the log."""

    text: Text
    event_id: Key | None = None
    deadline: Moment | None = None


class NoteReply(Struct, kw_only=True):
    """The note is stored."""

    text: str
    event_id: str
    duplicate: bool = False
    seq: int
''',
    "messages/stored/events.py": '''

class Noted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A note was put into the log."""

    text: str
    content: str


KIND[Noted] = "noted"
''',
    "actors/billing/periods/note.py": '''"""Decide the toy verb."""

from typing import Any, Final

from actors.billing.change import Change, Now
from actors.billing.effects import Persist
from actors.billing.state.account import Account
from messages.stored.events import (
    Noted,
)
from messages.subscriptions import Note, NoteReply


def note(account: Account, ask: Note, now: Now) -> Persist:
    return Persist((Noted(text=ask.text, content=now.fingerprint(ask)),))


def _reply(event: Noted, _: int) -> NoteReply:
    return NoteReply(text=event.text, event_id="", seq=0)


NOTE: Final = Change(Note, Noted, note, _reply, lambda ask, _: [ask.text])
''',
}
# And a line in each of the public tables.
LINES = {
    "messages/verbs.py": (
        'Verb("cancel", Cancel,',
        'Verb("note", Note, NoteReply, (ADMIN,), {"text": "a"}, keyed=True),\n    ',
    ),
    "actors/billing/changes.py": ("*(ACK, SUBSCRIBE,", "NOTE,\n    "),
    "actors/billing/state/apply.py": ("PeriodRolled: _roll,", "Noted: _keep_reply,\n    "),
}
IMPORTS = {
    "messages/verbs.py": "from .subscriptions import Note, NoteReply\n",
    "actors/billing/changes.py": "from actors.billing.periods.note import NOTE\n",
    "actors/billing/state/apply.py": "from messages.stored.events import Noted\n",
}
SCRIPT = """
import asyncio

from messages.client.client import UsageClient
from messages.verbs import BY_NAME
from tests.support.meter import Meter, plan

meter = Meter(terms=plan({}))
first = meter.do("note", text="hello", event_id="k")
assert first == {"text": "hello", "event_id": "k", "duplicate": False, "seq": 6}, first
assert meter.log[-1].kind == "noted"

from actors.billing.idempotency import original
from messages.codec import decode_command, decode_event
from messages.errors import RequestError

row = meter.log[-1]
event = decode_event(row.kind, row.body)
again = decode_command("note", b'{"text": "hello", "event_id": "k"}')
reply = original(again, event, None, "k", row.seq, row.at, meter.catalog)
assert reply == b'{"text":"hello","event_id":"k","duplicate":true,"seq":6}', reply
try:
    other = decode_command("note", b'{"text": "other"}')
    original(other, event, None, "k", row.seq, row.at, meter.catalog)
except RequestError as error:
    assert error.code == "idempotency_mismatch"
else:
    raise AssertionError("other content is no duplicate")


class Connection:
    is_connected, is_closed, max_payload = True, False, 1 << 20

    async def request(self, subject, payload=b"", timeout=1.0, headers=None):
        assert subject == "usage.v1.note.alice"
        class Reply:
            data = b'{"text":"a","event_id":"k","duplicate":false,"seq":1}'
            headers = None
        return Reply()


found = asyncio.run(UsageClient(Connection()).call("alice", "note", text="a"))
assert type(found) is BY_NAME["note"].reply
print("the toy verb works")
"""


def test_a_new_verb_is_its_structs_its_rule_and_a_line_in_each_public_table(tmp_path: Path) -> None:
    for room in ("actors", "messages", "persistence", "tests/support"):
        shutil.copytree(
            ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("*.so", "__pycache__")
        )
    for name, text in TOY.items():
        with (tmp_path / name).open("a") as file:
            file.write(text)
    for name, (before, line) in LINES.items():
        text = (tmp_path / name).read_text()
        assert text.count(before) == 1, name
        text = text.replace(before, line + before)
        after = "from __future__ import annotations\n"
        (tmp_path / name).write_text(text.replace(after, f"{after}\n{IMPORTS[name]}", 1))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the toy verb works\n"
