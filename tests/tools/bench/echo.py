"""The yardstick: a bare nats-py responder that sends every request back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import nats
from nats.aio.msg import Msg


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def main(url: str) -> None:
    client = await nats.connect(url)

    async def echo(msg: Msg) -> None:
        await client.publish(msg.reply, msg.data)

    await client.subscribe("echo.*", cb=echo)
    await client.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(sys.argv[1]))
