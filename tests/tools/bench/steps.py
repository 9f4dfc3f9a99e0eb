"""What one ``track`` costs the event loop, step by step: the real parts in one process.

First the whole: messages go through the parser, the edge, the registry, an actor, the writer
and a real journal, and the replies into a connection that only counts. Then the parts, one
after the other, on the same messages; the rest is what the whole takes beyond them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import random
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import nats.errors

from actors.app import Service
from actors.billing.catalog.defaults import default_catalog
from actors.billing.periods.rollover import opened
from actors.billing.state.account import Account
from actors.billing.state.apply import apply
from actors.billing.usage.track import track
from actors.billing.wire import fast
from actors.edge.outgoing import Outgoing
from actors.edge.parser import InlineParser
from actors.settings.config import Config
from messages.codec import decoder_of, encode_event
from messages.stored.form import FORM
from messages.subjects import partition_of
from persistence.key_filter import KeyFilter
from persistence.records import Row
from persistence.sqlite.journal import SQLiteJournal
from tests.support.service import ROOT
from tests.tools.bench.calls import tracks
from tests.tools.bench.echo import loop_factory

CHUNK: Final = 128  # messages in one read of the socket
WARM: Final = 20_000
AT: Final = 1_790_000_000_000_000  # microseconds: some moment
OUT: Final = ROOT / ".bench"


class Connection:
    """Stands for nats-py's client and for the link: takes what is sent."""

    max_payload = _max_payload = 1 << 20
    is_connected = True
    _max_pending_size = 1 << 30

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._pending_data_size = 0
        self._pongs: list[Any] = []
        self._flush_queue = SimpleNamespace(empty=lambda: False)
        self.client = self
        self.reconnected: list[Any] = []
        self.parser = InlineParser(self)
        self._transport = None  # so that answers are kept, and can be counted
        self.outgoing = Outgoing(self)
        self.replies = self.outgoing
        self.send = self.outgoing.send
        self.hand_over = self.outgoing.hand_over

    def new_inbox(self) -> str:
        return "_INBOX.steps"

    async def publish(self, *_: Any, **__: Any) -> None:
        """A claim or an alert, which nobody hears."""

    async def listen(self, *_: Any) -> Any:
        async def unsubscribe() -> None:
            """Nothing to take back."""

        return SimpleNamespace(unsubscribe=unsubscribe)

    async def request(self, *_: Any, **__: Any) -> None:
        raise nats.errors.NoRespondersError

    losses = 0

    def on_connected(self, _: Any) -> None:
        """It stays connected."""

    def on_size(self, _: Any) -> None:
        """It stays as large."""

    def may_refuse(self, _: Any) -> None:
        """Nobody refuses anything."""

    def put_behind(self, _: Any) -> None:
        """Nothing waits behind a fence."""

    def ping(self) -> None:
        """Nobody would answer."""

    async def serve(self, _: str, __: str, deliver: Any, after: Any) -> object:
        def behind(count: int) -> Any:
            self.hand_over()
            return after(count)

        self.parser.serve(1, deliver, behind)
        return object()

    async def flush(self) -> None:
        """Everything is taken at once."""

    def generation(self) -> int:
        return 0

    async def there(self) -> int:
        return 0

    def figures(self) -> dict[str, Any]:
        return {}

    async def unsubscribe(self, _: object) -> None:
        """No more messages come anyway."""

    def replied(self) -> int:
        """How many replies have come since the last call."""
        count = sum(piece.count(b"PUB ") for piece in self._pending)
        self._pending.clear()
        self._pending_data_size = 0
        return count


def messages(count: int, users: int) -> list[bytes]:
    """Requests as the server delivers them, behind the mapping."""
    found = []
    for request in itertools.islice(tracks(users, random.Random(1)), count):
        head, _, body = request.partition(b"\r\n")
        _, subject, reply, size = head.split(b" ")
        *_, verb, user = subject.decode().split(".")
        mapped = f"usage.v1.p.{partition_of(user)}.{verb}.{user}".encode()
        found.append(b"MSG %b 1 %b %b\r\n%b" % (mapped, reply, size, body))
    return found


async def feed(link: Connection, sent: list[bytes]) -> None:
    """Hand messages over as reads of the socket, and wait for the replies of each read."""
    for at in range(0, len(sent), CHUNK):
        chunk = sent[at : at + CHUNK]
        await link.parser.parse(b"".join(chunk))
        missing = len(chunk)
        while missing:
            await asyncio.sleep(0)
            missing -= link.replied()


async def cost(count: int, users: int) -> float:
    """Microseconds of the loop for each of so many calls."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as directory:  # on a disk: /tmp may be memory
        # A clock that stands still: no write is slow, so every block is written on the loop.
        journal = await SQLiteJournal.open(Path(directory), FORM, ticks=lambda: 0)
        link: Any = Connection()
        service = Service(Config(alert_stream="off", event_stream="off"), journal, link, print)
        await service.start()
        await feed(link, messages(WARM, users))
        sent = messages(count, users)
        gc.collect()
        gc.freeze()
        begin = time.perf_counter()
        await feed(link, sent)
        spent = time.perf_counter() - begin
        await service.stop()
        await journal.close()
        return spent / count * 1e6


class Steps:
    """Calls that are taken through one part after the other, a whole read at a time.

    So each part is timed over many calls, and what the timing costs is nothing.
    """

    def __init__(self, journal: SQLiteJournal) -> None:
        self.spent: dict[str, float] = {}
        self._journal = journal
        self._link = Connection()
        self._catalog = default_catalog()
        self._keys = KeyFilter()
        self._accounts: dict[bytes, Account] = {}
        self._arrived: list[tuple[bytes, bytes, bytes]] = []
        self._link.parser.serve(1, self._arrive, lambda _: self._arrive)
        self._decode = decoder_of("track")
        self._seq = 0
        self._at = AT

    def _arrive(self, subject: bytes, reply_to: bytes, payload: bytes, _: bytes) -> None:
        self._arrived.append((subject, reply_to, payload))

    def _timed(self, step: str, begin: float) -> float:
        now = time.perf_counter()
        self.spent[step] = self.spent.get(step, 0) + now - begin
        return now

    async def take(self, chunk: list[bytes]) -> None:
        """Take one read of the socket all the way."""
        data, catalog, claim = b"".join(chunk), self._catalog, self._keys.claim
        begin = time.perf_counter()
        await self._link.parser.parse(data)
        begin = self._timed("parse the protocol", begin)
        calls = [self._decode(payload) for _, _, payload in self._arrived]
        begin = self._timed("decode the body", begin)
        found = [self._account(subject) for subject, _, _ in self._arrived]
        users = [account.user for account in found]
        keys = [str(call.event_id) for call in calls]  # type: ignore[attr-defined]
        begin = time.perf_counter()
        for user, key in zip(users, keys, strict=True):
            claim(user, key)
        begin = self._timed("is the key surely new?", begin)
        pairs = zip(found, calls, strict=True)
        events = [track(account, call, self._at, catalog)[1] for account, call in pairs]  # type: ignore[arg-type]
        begin = self._timed("decide: price, period, limits, alerts", begin)
        bodies = [encode_event(event) for event in events]
        begin = self._timed("encode the event", begin)
        seqs = range(self._seq + 1, self._seq + len(calls) + 1)
        for account, event, seq in zip(found, events, seqs, strict=True):
            apply(account, event, self._at, seq)
        begin = self._timed("apply it to the state", begin)
        replies = [fast.tracked(*of) for of in zip(events, keys, seqs, strict=True)]
        begin = self._timed("write the reply", begin)
        rows = [
            Row(seq, 0, user, key, "usage", self._at, False, body, None)
            for seq, user, key, body in zip(seqs, users, keys, bodies, strict=True)
        ]
        begin = time.perf_counter()
        await self._journal.append(rows)
        begin = self._timed("commit: chain, insert, WAL, fsync, index in memory", begin)
        for (_, reply_to, _), reply in zip(self._arrived, replies, strict=True):
            self._link.outgoing.send(reply_to, reply)
        self._link.hand_over()
        self._timed("send", begin)
        self._seq = seqs[-1]
        self._arrived.clear()
        self._link.replied()

    def _account(self, subject: bytes) -> Account:
        account = self._accounts.get(subject)
        if account is None:
            account = self._accounts[subject] = Account(subject.rpartition(b".")[2].decode())
            for opening in opened(account, self._at, self._catalog)[1]:
                apply(account, opening, self._at, 0)
        return account


async def parts(count: int, users: int) -> dict[str, float]:
    """Microseconds of each part for each of so many calls."""
    with tempfile.TemporaryDirectory(dir=OUT) as directory:
        journal = await SQLiteJournal.open(Path(directory), FORM, ticks=lambda: 0)
        steps = Steps(journal)
        for total in (WARM, count):
            sent = messages(total, users)
            gc.collect()
            gc.freeze()
            steps.spent.clear()
            for at in range(0, total, CHUNK):
                await steps.take(sent[at : at + CHUNK])
        await journal.close()
    return {step: spent / count * 1e6 for step, spent in steps.spent.items()}


async def measure(count: int, users: int) -> tuple[float, dict[str, float]]:
    """Microseconds a call in the whole, and in its parts."""
    whole = await cost(count, users)
    return whole, await parts(count, users)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=60_000)
    parser.add_argument("--users", type=int, default=1_000)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        whole, steps = runner.run(measure(options.calls, options.users))
    steps["route, request, actor, admission, row, answer: the rest"] = whole - sum(steps.values())
    print(f"{'step':56} {'us':>6}")
    for name, own in [*steps.items(), ("in all", whole)]:
        print(f"{name:56} {own:>6.2f}")


if __name__ == "__main__":
    main()
