"""Services discovery, and the claim that one meterd serves a prefix."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors.edge.connection import Connection
from actors.edge.ownership import Claim, above
from tests.sim.world.loop import virtual
from tests.support.meter import NOON
from tests.support.rig import FakeConnection, Rig, until
from tests.support.turns import turns_of_the_loop

Callback = Callable[[Any], Awaitable[None]]


@dataclass
class Bus:
    """NATS for control messages: who subscribes to what, without echo."""

    heard: list[tuple[object, str, Callback]] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def publish(self, sender: object, subject: str, data: bytes, reply: str = "") -> None:
        message = SimpleNamespace(data=data, reply=reply)
        for owner, name, callback in self.heard:
            if name == subject and owner is not sender:
                self.tasks.add(asyncio.ensure_future(cast("Any", callback(message))))


class BusConnection:
    """One connection to a bus."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus = bus
        self._name = name
        self.client = self
        self.losing = 0  # how many of the next publications are lost with their connection
        self.lost = 0

    def new_inbox(self) -> str:
        return f"inbox.{self._name}"

    async def listen(self, subject: str, callback: Callback) -> Any:
        entry = (self, subject, callback)
        self._bus.heard.append(entry)

        async def unsubscribe() -> None:
            self._bus.heard.remove(entry)

        return SimpleNamespace(unsubscribe=unsubscribe)

    def send(self, reply_to: bytes, payload: bytes, headers: object = None) -> None:
        self._bus.publish(self, reply_to.decode(), payload)

    def now(self) -> int:
        return NOON

    send_past = send

    async def flush(self) -> None:
        """Everything has arrived."""

    async def there(self) -> int:
        return self.lost

    async def publish(self, subject: str, payload: bytes, *, reply: str) -> None:
        if self.losing:
            self.losing -= 1
            self.lost += 1
            return
        self._bus.publish(self, subject, payload, reply)


def claim(bus: Bus, name: str, prefix: str = "usage.v1", *, reclaim_s: float = 10) -> Claim:
    """A claim, for virtual time: there every answer of this process comes in time."""
    link = cast("Connection", BusConnection(bus, name))
    return Claim(link, prefix, name, claim_s=0.1, claim_own_s=0.1, reclaim_s=reclaim_s)


@virtual
async def test_a_free_prefix_is_taken_and_a_second_claim_hears_of_its_holder() -> None:
    bus = Bus()
    for names in (("b", "a"), ("c", "d")):
        prefix = names[0]
        assert await claim(bus, names[0], prefix).take() is None
        assert await claim(bus, names[1], prefix).take() == names[0]


@virtual
async def test_a_claim_that_was_lost_with_its_connection_is_made_again() -> None:
    bus = Bus()
    assert await claim(bus, "b").take() is None
    link = BusConnection(bus, "a")
    link.losing = 2 * len(above("usage.v1")) + 1
    again = Claim(cast("Connection", link), "usage.v1", "a", claim_s=0.1)
    assert await again.take() == "b"
    assert link.losing == 0
    link.losing = 1
    alone = Claim(cast("Connection", link), "other", "a", claim_s=0.1)
    assert await alone.take() is None
    assert alone.generation == link.lost


async def test_a_start_whose_connection_was_lost_behind_its_claim_asks_again_who_serves() -> None:
    class Losing(FakeConnection):
        async def flush(self) -> None:
            self.lost = True

        lost = False

        def generation(self) -> int:
            return int(self.lost)

    for link, count in ((FakeConnection(), 0), (Losing(), 1)):
        rig = await Rig.start(link=link)
        fence = rig.service._fence
        assert fence is not None
        assert fence.count == count
        await fence.passed()  # nobody else serves
        await rig.stop()


@virtual
async def test_of_claims_at_the_same_time_exactly_one_succeeds() -> None:
    bus = Bus()
    names = ["c", "a", "d", "b"]
    results = await asyncio.gather(*(claim(bus, name).take() for name in names))
    assert [name for name, rival in zip(names, results, strict=True) if rival is None] == ["a"]


@virtual
async def test_a_service_that_just_started_its_server_yields_to_a_lesser_claim_too() -> None:
    bus = Bus()
    own, other = claim(bus, "b").take(own_server=True), claim(bus, "a").take()
    assert list(await asyncio.gather(own, other)) == ["a", None]
    assert await claim(bus, "0").take() == "a"


@virtual
async def test_prefixes_do_not_stand_in_each_others_way() -> None:
    bus = Bus()
    assert await claim(bus, "a", "usage.v1").take() is None
    assert await claim(bus, "b", "other.v1").take() is None
    assert await claim(bus, "c", "usage.v1x").take() is None
    assert await claim(bus, "d", "usage.v2.a").take() is None
    assert await claim(bus, "e", "usage.v2.b").take() is None


@pytest.mark.parametrize(
    ("one", "other"), [("usage.v1", "usage"), ("a", "a.b.c.d"), ("a.b", "a.b.p")]
)
@virtual
async def test_a_prefix_inside_of_another_is_not_taken_whoever_claims_first(
    one: str, other: str
) -> None:
    for first, second in ((one, other), (other, one)):
        bus = Bus()
        assert await claim(bus, "b", first).take() is None
        late = claim(bus, "a", second)
        assert await late.take() == "b"
        assert late.rival_prefix == first
        both = [claim(Bus(), "x"), claim(bus := Bus(), "c", first), claim(bus, "d", second)]
        assert await asyncio.gather(*(each.take() for each in both)) == [None, None, "c"]


@virtual
async def test_of_two_holders_that_did_not_hear_each_other_the_one_with_the_greater_id_ends() -> (
    None
):
    bus, elsewhere = Bus(), Bus()
    first, second = claim(elsewhere, "a", reclaim_s=0), claim(bus, "b", reclaim_s=0)
    assert [await first.take(), await second.take()] == [None, None]
    bus.heard += elsewhere.heard  # the network is whole again
    elsewhere.heard = bus.heard
    keeping = [asyncio.create_task(one.keep()) for one in (first, second)]
    await keeping[1]
    assert not keeping[0].done()
    keeping[0].cancel()


@virtual
async def test_a_claim_alone_ends_no_holder() -> None:
    bus = Bus()
    holder = claim(bus, "b")
    assert await holder.take() is None
    keeping = asyncio.create_task(holder.keep())
    stranger = BusConnection(bus, "x")
    answered: list[bytes] = []

    async def on_answer(message: Any) -> None:
        answered.append(message.data)

    await stranger.listen("inbox.x", on_answer)
    claimed = b'{"id":"","holds":true}'
    await stranger.publish("usage.v1.ctl.claim.meterd", claimed, reply="inbox.x")
    await until(lambda: bool(answered))
    assert not keeping.done()
    keeping.cancel()


@virtual
async def test_invalid_answers_do_not_keep_a_service_from_starting() -> None:
    bus = Bus()
    link = BusConnection(bus, "x")

    async def nonsense(message: Any) -> None:
        for data in (b"", b"{", b"[]", b"{}", b'{"id": 1}', b"null", b"\xff"):
            link.send(message.reply.encode(), data)

    await link.listen("usage.v1.ctl.claim.meterd", nonsense)
    assert await claim(bus, "a").take() is None
    await until(lambda: all(task.done() for task in bus.tasks))
    assert [task.exception() for task in bus.tasks] == [None] * len(bus.tasks)


async def ask(rig: Rig, subject: str) -> Any:
    message = SimpleNamespace(reply="to.discovery", data=b"")
    rig.link.answers.pop(message.reply, None)
    await rig.link.heard[subject](message)
    (answer,) = rig.link.answers[message.reply]
    return json.loads(answer.payload)


@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
async def test_discovery_answers_to_all_services_to_its_name_and_to_its_id(
    rig: Rig, verb: str
) -> None:
    instance = rig.service._instance
    tails = ("", ".meterd", f".meterd.{instance}")
    first, *others = [await ask(rig, f"$SRV.{verb}{tail}") for tail in tails]
    assert first["id"] == instance
    assert first["type"] == f"io.nats.micro.v1.{verb.lower()}_response"
    assert others == [first, first]


@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
async def test_discovery_says_in_texts_which_contract_is_spoken_and_what_of_it_is_on(
    rig: Rig, verb: str
) -> None:
    assert (await ask(rig, f"$SRV.{verb}"))["metadata"] == {
        "prefix": "usage.v1",
        "partitions": "0-63",
        "contract": "1.1",
        "capabilities": "providers",
    }


async def test_without_a_reply_subject_discovery_says_nothing(rig: Rig) -> None:
    await rig.link.heard["$SRV.PING"](SimpleNamespace(reply="", data=b""))
    assert rig.link.answers == {}


@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
async def test_thousands_who_ask_at_once_are_answered_a_few_in_a_turn(rig: Rig, verb: str) -> None:
    hear = rig.link.heard[f"$SRV.{verb}"]
    count = 3_000

    async def hand_over() -> None:  # as nats-py does with what a subscription has
        for number in range(count):
            await hear(SimpleNamespace(reply=f"to.{number}", data=b""))

    with turns_of_the_loop() as turns:
        await asyncio.create_task(hand_over())
    assert sum(len(rig.link.answers[f"to.{number}"]) for number in range(count)) == count
    assert turns.longest < 8_000
    assert turns.total < 300 * count


async def test_statistics_asked_for_after_an_answer_count_it(rig: Rig) -> None:
    for number in range(1, 4):
        await rig.ask("track", provider="exa")
        stats = await ask(rig, "$SRV.STATS")
        assert {e["name"]: e["num_requests"] for e in stats["endpoints"]}["track"] == number
