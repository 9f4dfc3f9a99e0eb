"""Defects to plant in the service, each of which the simulation has to find.

They are put into the sources as they are imported: compiled modules take no patches.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Final, NamedTuple

import pytest

from actors.app import Service
from actors.billing import publications
from actors.billing.catalog import charging
from actors.billing.catalog.names import Names, Said, Told
from actors.billing.catalog.providers import Providers
from actors.billing.counters.slots import NONE_HELD
from actors.billing.state.account import Account
from actors.catalog import actor as catalog
from actors.catalog.registering import Registering
from actors.persistent import actor as persistent
from actors.publishing import outbox
from actors.publishing.outbox import Relay
from actors.publishing.streams import Streams
from actors.runtime.cell import Cell
from actors.runtime.registry import Registry
from actors.runtime.request import Request
from actors.user import ledger, lookups
from actors.user.replay import replay
from messages.catalog import CATALOG_USER
from messages.stored.events import (
    PeriodClosed,
)
from persistence.key_filter import KeyFilter
from persistence.memory import MemoryJournal
from persistence.records import Snapshot
from persistence.writer import Waiter, Writer
from tests.sim.world.lifetimes import simulate
from tests.sim.world.loop import Stuck

SECONDS_MAX: Final = 60.0
"""Of the CPU, in which each defect is found."""

Patch = pytest.MonkeyPatch


def reply_before_commit(patch: Patch) -> None:
    """A change is answered when it is handed to the writer."""
    append = Writer.append

    def hasty(self: Writer, rows: Sequence[Any], waiter: Waiter | None = None) -> None:
        append(self, rows)
        if waiter is not None:
            waiter.durable()

    patch.setattr(Writer, "append", hasty)


def apply_twice_on_replay(patch: Patch) -> None:
    """The first row behind a snapshot is applied twice, as if a position is off by one."""

    def doubled(account: Account, entries: Sequence[Any]) -> None:
        replay(account, [*entries[:1], *entries] if account.seq else entries)

    patch.setattr("actors.user.recovery.replay", doubled)


def forget_the_outbox(patch: Patch) -> None:
    """A start takes for published what a former process left."""
    start = Relay.start

    async def forgetful(self: Relay) -> Any:
        task = await start(self)
        self._reread = False
        return task

    patch.setattr(Relay, "start", forgetful)


def hold_not_subtracted(patch: Patch) -> None:
    """What is held counts in no decision."""
    patch.setattr(Account, "held", lambda self, at: NONE_HELD)


def names_of_today(patch: Patch) -> None:
    """A request that comes again means what it would mean now."""

    def now(said: Said, _stored: Names, _told: Told, known: Providers) -> Names:
        provider = known.find(said.provider)
        actual = provider.actual_of(said.actual, said.model, said.endpoint)
        return Names(provider.id, actual, said.model or provider.default_model)

    patch.setattr("actors.billing.usage.same_call.names_then", now)


def provider_not_stored(patch: Patch) -> None:
    """A call is stored without its provider, of which it was the first to hear."""

    async def nothing(_self: Registering, _names: Sequence[str]) -> None:
        """Store none."""

    patch.setattr(Registering, "register", nothing)


def keys_forgotten_behind_snapshots(patch: Patch) -> None:
    """A start knows the keys behind the snapshots only."""

    async def load_keys(self: MemoryJournal, keys: KeyFilter) -> None:
        for (user, key), row in self._of_key.items():
            snapshot = self._snapshots.get(user)
            if snapshot is None or row.seq > snapshot.seq:
                keys.claim(user, key)

    patch.setattr(MemoryJournal, "load_keys", load_keys)


def snapshot_of_the_future(patch: Patch) -> None:
    """A snapshot is written with the next block, whatever it reflects."""
    offer = Writer.offer

    def early(self: Writer, snapshot: Snapshot) -> None:
        behind = list(self._blocks)[1 if self._writing else 0 :]
        if self.accepting and behind:
            behind[0].snapshots.append(snapshot)
        else:
            offer(self, snapshot)

    patch.setattr(Writer, "offer", early)


def newest_first(patch: Patch) -> None:
    """What waits for an actor runs in the wrong order, but for what has begun."""

    def take(self: Cell) -> Request | None:
        if self.stash is None:
            return None
        first = self.stash[0]
        begun = first.facts is not None or first.key_is_new
        request = self.stash.popleft() if begun else self.stash.pop()
        if not self.stash:
            self.stash = None
        return request

    patch.setattr(Cell, "take", take)


def answer_twice(patch: Patch) -> None:
    """A request that failed with its block is answered once more when it is over."""
    lost = Request.lost

    def again(self: Request, *, unknown: bool) -> None:
        lost(self, unknown=unknown)
        self.answered = False
        self.owner = None
        lost(self, unknown=unknown)

    patch.setattr(Request, "lost", again)


def no_answer_for_lost_reads(patch: Patch) -> None:
    """A read behind a failed write hears nothing."""
    lost = Request.lost

    def silent(self: Request, *, unknown: bool) -> None:
        if self.key is not None:
            lost(self, unknown=unknown)

    patch.setattr(Request, "lost", silent)


def unknown_taken_for_failed(patch: Patch) -> None:
    """A change whose write may have happened is said not to be executed."""
    lost = Request.lost
    patch.setattr(Request, "lost", lambda self, *, unknown: lost(self, unknown=False))


def go_on_after_a_failed_write(patch: Patch) -> None:
    """Actors whose rows were lost live on."""
    patch.setattr(Registry, "forget", lambda self, users: None)


def dropped_while_ahead(patch: Patch) -> None:
    """An actor may be passivated while what it reflects is being written."""
    patch.setattr(Registry, "_releasable", staticmethod(lambda cell: not cell.busy))


def rounded_down(patch: Patch) -> None:
    """A charge loses what is below a nano-USD."""
    patch.setattr(charging, "round_half_even", lambda amount, unit: amount // unit)


def price_before_durable(patch: Patch) -> None:
    """A change of the catalogue takes effect when it is asked for."""
    begin = catalog._Effect.__init__

    def hasty(self: Any, *args: Any) -> None:
        begin(self, *args)
        self.durable()

    patch.setattr(catalog._Effect, "__init__", hasty)


def price_of_the_past(patch: Patch) -> None:
    """After a failed write the catalogue is not read again."""
    on_failure = Service._on_failure
    patch.setattr(
        Service, "_on_failure", lambda self, users: on_failure(self, users - {CATALOG_USER})
    )


def another_id_each_time(patch: Patch) -> None:
    """A notice that is published again has another id."""
    notices_of = publications.notices_of
    count = 0

    def renamed(*args: Any) -> Any:
        nonlocal count
        count += 1
        return [notice._replace(id=f"{notice.id}.{count}") for notice in notices_of(*args)]

    patch.setattr(outbox, "notices_of", renamed)


def closed_in_silence(patch: Patch) -> None:
    """The row that closes a period says that it has nothing to publish."""
    notifies = publications.notifies
    patch.setattr(
        ledger, "notifies", lambda event: type(event) is not PeriodClosed and notifies(event)
    )


def unbounded(patch: Patch) -> None:
    """Requests are taken however many wait."""
    patch.setattr(Registry, "_refusal", lambda self, user, cell: None)


def flush_forgotten(patch: Patch) -> None:
    """What was published counts as sent without an answer to a flush."""

    async def flush(self: Any) -> None:
        """Does not ask."""

    patch.setattr(Streams, "flush", flush)


def outbox_not_told_of_a_failure(patch: Patch) -> None:
    """What is stored by a write of unknown outcome is not looked for."""
    resume_after = Writer._resume_after

    def silent(self: Writer, last: int) -> None:
        resume_after(self, last)
        self._on_resumed = lambda: None

    patch.setattr(Writer, "_resume_after", silent)


def loaded_too_early(patch: Patch) -> None:
    """The successor of an actor that was dropped does not wait for what that one appended."""
    load = Registry._load
    patch.setattr(
        Registry, "_load", lambda self, cell, *, after_drop: load(self, cell, after_drop=False)
    )


def duplicates_not_awaited(patch: Patch) -> None:
    """A key is looked up while its original is in flight."""

    flushed, hasty = Writer.flushed, {persistent.__name__, lookups.__name__}

    class Done:
        def __await__(self) -> Generator[Any, None, None]:
            yield from ()

    def at_once(self: Writer) -> Awaitable[None]:
        """Waits for nothing when keys are looked up."""
        caller = sys._getframe(1).f_globals["__name__"]
        return Done() if caller in hasty else flushed(self)

    patch.setattr(Writer, "flushed", at_once)


def deadlines_ignored(patch: Patch) -> None:
    """A request is executed however late it is."""

    def late(request: Request, services: Any, now: int) -> bool:
        request.deadline = None
        return admit(request, services, now)

    admit = persistent.admit
    patch.setattr(persistent, "admit", late)


def units_lost_in_snapshots(patch: Patch) -> None:
    """A user who comes back from a snapshot has no units and no estimates."""
    patch.setattr("actors.billing.state.snapshot.tally_of", lambda _: None)


class Found(NamedTuple):
    """How a defect was found: after so many lives and seconds of the CPU, by what."""

    lives: int
    seconds: float
    why: str


RARE: Final = {loaded_too_early: 14, price_before_durable: 39}
"""What the first dozen lives do not meet, and a seed that met it: to be tried before all others."""


def find(plant: Callable[[Patch], None], *first: int) -> Found:
    """Plant a defect and look for it, life after life, in those of the ``first`` seeds at first.

    Raises:
        AssertionError: it is not found within `SECONDS_MAX` of the CPU.
    """
    begun = time.process_time()
    with Patch.context() as patch:
        plant(patch)
        for lives, seed in enumerate(itertools.chain(first, itertools.count()), 1):
            try:
                simulate(seed)
            except (AssertionError, Stuck) as error:
                return Found(lives, time.process_time() - begun, str(error))
            spent = time.process_time() - begun
            assert spent < SECONDS_MAX, f"not found in {lives} lives"
    raise AssertionError  # there is always another seed


ALL: Final[tuple[Callable[[Patch], None], ...]] = (
    reply_before_commit,
    apply_twice_on_replay,
    forget_the_outbox,
    hold_not_subtracted,
    keys_forgotten_behind_snapshots,
    snapshot_of_the_future,
    newest_first,
    answer_twice,
    no_answer_for_lost_reads,
    unknown_taken_for_failed,
    go_on_after_a_failed_write,
    closed_in_silence,
    dropped_while_ahead,
    rounded_down,
    price_before_durable,
    price_of_the_past,
    another_id_each_time,
    unbounded,
    outbox_not_told_of_a_failure,
    loaded_too_early,
    duplicates_not_awaited,
    deadlines_ignored,
    flush_forgotten,
    units_lost_in_snapshots,
    names_of_today,
    provider_not_stored,
)
