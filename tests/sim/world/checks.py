"""What must hold of a log and of what clients were told, whatever went wrong."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, Final

from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account
from actors.billing.state.apply import apply
from messages.codec import decode_event
from persistence.records import Row, Snapshot
from tests.sim.world.history import MAY_HAVE_HAPPENED, Book
from tests.sim.world.invariants import Invariant, judging
from tests.sim.world.service import NOT_NOW
from tests.support.meter import micros
from tests.support.rig import Rig

NOT_EXECUTED: Final = NOT_NOW - {"outcome_unknown"}


def check_log(book: Book, rows: list[Row]) -> None:
    """What was acknowledged is there once; what was not executed is not; time never falls."""
    found = {(row.user, row.key): row for row in rows if row.key is not None}
    with judging(Invariant.ONCE):
        assert [row.seq for row in rows] == sorted({row.seq for row in rows})
        assert len(found) == sum(row.key is not None for row in rows), "a change is there twice"
    with judging(Invariant.FOR_EVER):
        for place, reply in book.replies.items():
            assert place in found, (place, "was acknowledged and is lost")
            assert found[place].seq == json.loads(reply)["seq"]
    with judging(Invariant.ONE_ANSWER):
        for place, codes in book.tries.items():
            if place in found:
                assert MAY_HAVE_HAPPENED & set(codes), (
                    place,
                    codes,
                    "did not happen, but is there",
                )
                # If the last answer was a refusal nothing of the key may have come before.
                settled = place in book.twins or place in book.replies
                assert settled or codes[-1] in MAY_HAVE_HAPPENED | NOT_EXECUTED, (place, codes)
    for user, key in found:
        assert (user, key) in book.asked or (user, key.rpartition(".")[0]) in book.asked
    at: dict[str, int] = defaultdict(int)
    with judging(Invariant.IN_ORDER):
        for row in rows:
            assert row.at >= at[row.user], "time falls"
            at[row.user] = row.at


def check_alerts(book: Book) -> None:
    """All that was to be published reached the server, and nothing else did."""
    with judging(Invariant.ALERTS):
        assert set(book.due) == book.confirmed, set(book.due) ^ book.confirmed


def check_closed(book: Book, rows: list[Row]) -> None:
    """Each period with usage that is not the current one was announced, and what it counts."""
    current, logged, counted = _calls(rows)
    told: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for _, payload in book.due.values():
        body = json.loads(payload)
        if body.get("kind") in {"period_closed", "period_adjusted"}:
            told[body["user_id"], body["billing_period"]].append(body)
    with judging(Invariant.CLOSED):
        for place, calls in logged.items():
            said = sorted(told[place], key=lambda body: body["seq"])
            kinds = [body["kind"] for body in said]
            if current[place[0]] == place[1]:
                assert kinds in ([], ["period_closed"]), (place, kinds)
            else:
                wanted = ["period_closed", *["period_adjusted"] * (len(said) - 1)]
                assert kinds == wanted, (place, kinds)
            if len(said) > 1:
                assert said[-1]["totals"]["calls"] == calls, place
            elif said:
                assert said[0]["stats"]["total_calls"] == counted[place], place


_Calls = dict[tuple[str, str], int]


def _calls(rows: list[Row]) -> tuple[dict[str, str], _Calls, _Calls]:
    """Each user's current period; calls of each period, all and those since its last reset."""
    current: dict[str, str] = {}
    logged: _Calls = defaultdict(int)
    counted: _Calls = defaultdict(int)
    for row in rows:
        if row.kind == "period_rolled":
            current[row.user] = json.loads(row.body)["key"]
        elif row.kind == "reset":
            counted[row.user, json.loads(row.body)["billing_period"]] = 0
        elif row.kind == "usage":
            place = (row.user, json.loads(row.body)["b"])
            logged[place] += 1
            counted[place] += 1
    return current, logged, counted


def check_snapshots(rows: list[Row], stored: dict[str, Snapshot]) -> None:
    """Each snapshot is what the log gives up to its position."""
    with judging(Invariant.NO_FUTURE):
        for user, snapshot in stored.items():
            account = Account(user)
            for row in rows:
                if row.user == user and row.seq <= snapshot.seq:
                    apply(account, decode_event(row.kind, row.body), row.at, row.seq)
            assert account.seq == snapshot.seq, (user, "has a snapshot of no position of its own")
            with judging(Invariant.REPLAY):
                assert snapshots.encode(account) == snapshot.body, (user, "has another snapshot")


def check_replay(user: str, rows: list[Row], live: bytes) -> None:
    """Snapshot and tail give the live state from wherever the snapshot is."""
    account = Account(user)
    for count, row in enumerate(rows):
        apply(account, decode_event(row.kind, row.body), row.at, row.seq)
        if count % 7 == 0:
            account = snapshots.decode(user, snapshots.encode(account))
    with judging(Invariant.REPLAY):
        old = [hold for hold in account.holds or () if hold.expires_at <= account.at]
        assert not old, (user, old)
        assert snapshots.encode(account) == live, (user, "snapshot and tail are not what was live")


async def check_repeats(book: Book, rig: Rig) -> None:
    """Whatever was acknowledged is answered again as it was, and happens no more."""
    before = [row for row in await rig.inner.rows(0, 10**6) if row.key is not None]
    for sent in book.sent:
        keys = [(sent.user, key) for key, _, _ in sent.changes()]
        if sent.other or not keys or not all(key in book.replies for key in keys):
            continue
        sent.deadline = None  # it may be past by now
        answer = await rig.answer(sent.deliver(rig))
        with judging(Invariant.ONCE):
            for (user, key), (_, outcome, reply) in zip(keys, sent.outcomes(answer), strict=True):
                assert not outcome, (sent, answer.payload)
                assert reply == book.replies[user, key], (sent, "is answered in another way")
                assert json.loads(reply)["duplicate"]
    after = [row for row in await rig.inner.rows(0, 10**6) if row.key is not None]
    with judging(Invariant.ONCE):
        assert before == after, "a repetition happened"


class _Fates:
    """What the clients know of one user's holds.

    Attributes:
        granted: when each that was acknowledged may end.
        unsure: those that may be there, or may have been ended, while nobody was told.
        ended: those that were settled or released, as was acknowledged.
    """

    def __init__(self, book: Book, user: str, now: int) -> None:
        self.granted: dict[str, set[int]] = {}
        self.unsure: set[str] = set()
        self.ended: set[str] = set()
        self._ids = book.holds[user]
        self._now = now
        for (owner, key), (verb, body) in book.asked.items():
            reply = book.replies.get((user, key))
            if owner != user or not MAY_HAVE_HAPPENED & set(book.tries[user, key]):
                continue
            told = None if reply is None else json.loads(reply)
            if verb in {"hold", "preflight"}:
                self._grant(key, told)
            elif verb == "extend":
                self._extend(body["hold_id"], told)
            elif verb == "release" or "hold_id" in body:
                self._end(body["hold_id"], told)

    def _grant(self, key: str, told: dict[str, Any] | None) -> None:
        if told is None:
            self.unsure |= {name for name in self._ids if key in {name, name.rpartition(".")[0]}}
            return
        for hold in told.get("operations", [told]):
            self.granted[hold["hold_id"]] = {micros(hold["expires_at"])}

    def _extend(self, hold_id: str, told: dict[str, Any] | None) -> None:
        forever = {self._now, self._now + 10**15}
        ends = forever if told is None else {micros(told["expires_at"])}
        self.granted[hold_id] = self.granted.get(hold_id, set()) | ends

    def _end(self, hold_id: str, told: dict[str, Any] | None) -> None:
        if told is None:
            self.unsure.add(hold_id)
        elif told.get("hold_status", "settled") == "settled":
            self.ended.add(hold_id)


def check_holds(book: Book, user: str, shown: list[dict[str, Any]], now: int) -> None:
    """Open are the holds that were acknowledged and neither settled, released nor expired.

    Those of which a client was told nothing may be either.
    """
    ids = [hold["hold_id"] for hold in shown]
    assert len(ids) == len(set(ids))
    fates = _Fates(book, user, now)
    for name, ends in fates.granted.items():
        if name in fates.ended or max(ends) <= now:
            assert name not in ids, (user, name, "is open still")
        elif name not in fates.unsure and min(ends) > max(book.latest, now):
            assert name in ids, (user, name, "is not open any more")
    assert set(ids) <= set(fates.granted) | fates.unsure, (user, "has a hold nobody was granted")
