"""The real parts on a stage: a nats-server, a service and its files, each of which may die.

Whoever lets a part die says so here, since a request that was under way then may stay without
an answer. All else has to be answered, exactly once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from messages.subjects import PREFIX, mapping
from tests.support.nats import NatsServer, start_nats_server
from tests.support.service import Service, ServiceEndedError
from tests.torture.shim import Shim

NEVER_S: Final = 120.0
"""What has not come by then never comes: far longer than anything takes on a busy machine."""
RESTART_S: Final = 0.05
"""How long a supervisor waits before it starts again what did not start."""


class Stage:
    """All parts of one run, in a directory of their own; the service is started again and again.

    Attributes:
        stream: whether the server keeps alerts in a stream.
        broken: counts what died; requests under way across a change may have no answer.
        up: set while a service is ready.
        killed: how often the service was killed.
        between: called before each start of the service.
        failed: what it said on stderr if it ended by itself, one line each.
    """

    def __init__(
        self, directory: Path, shim: Shim, *, stream: bool = False, **settings: str
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.shim = shim
        self.stream = stream
        self.nats = self._new_server(-1)
        env = {f"METERD_{name.upper()}": value for name, value in settings.items()}
        self.service = Service(
            directory / "data",
            command="serve",
            env={"METERD_NATS_URL": self.nats.url, **env, **shim.env},
        )
        self.broken = 0
        self.up = asyncio.Event()
        self.killed = 0
        self.failed: list[str] = []
        self.between: Callable[[], None] = lambda: None
        self._stopping = False
        self._broke = asyncio.Event()

    async def run(self) -> None:
        """Have a service run, as a supervisor does, until it is told to stop."""
        while not self._stopping:
            self.between()
            self.service.launch()
            try:
                await asyncio.to_thread(self.service.wait_ready, NEVER_S)
            except ServiceEndedError as error:
                self._note_end(error.code, error.stderr)
                await asyncio.sleep(RESTART_S)
                continue
            self.up.set()
            code = await asyncio.to_thread(self.service.process.wait)
            self._note_end(code, self.service.stderr)

    async def stop(self) -> None:
        """Have the service end in order, and `run` with it."""
        await self.up.wait()
        self._stopping = True
        self.service.process.terminate()
        await asyncio.to_thread(self.service.process.wait)

    async def die_at_a_call(self, within_s: float) -> bool:
        """Wait until it dies at a call, as was said to the shim; if it does not, kill it."""
        killed = self.killed
        try:
            async with asyncio.timeout(within_s):
                await self.dead(killed)
        except TimeoutError:
            self.kill_service()
            return False
        finally:
            self.shim.spare()
        return True

    async def dead(self, killed: int) -> None:
        """Wait until it was killed more often than so."""
        while self.killed <= killed:
            await self._broke.wait()

    async def ended(self, failed: int) -> None:
        """Wait until it ended by itself more often than so."""
        while len(self.failed) <= failed:
            await self._broke.wait()

    def breaking(self) -> Coroutine[Any, Any, bool]:
        """Wait until something dies from this call on, however late it is awaited."""
        return self._broke.wait()

    # -- deaths

    def kill_service(self) -> None:
        """Kill it, whatever it does."""
        self.service.process.kill()
        self._lose()

    def kill_nats(self) -> None:
        """Kill the server, and start another one in its place."""
        up = self.up.is_set()
        self._lose()
        self.nats.kill()
        self.nats = self._new_server(self.nats.port)
        if up:
            self.up.set()  # the service connects again by itself

    def kill_both(self) -> None:
        """Kill the service and the server at once."""
        self.service.process.kill()
        self._lose()
        self.nats.kill()
        self.nats = self._new_server(self.nats.port)

    def close(self) -> None:
        """End all parts."""
        self.service.kill()
        self.nats.kill()

    def _note_end(self, code: int, stderr: str) -> None:
        """It may be killed, and may end by itself with one clear line."""
        if self._stopping:
            assert code == 0, (code, stderr)
        elif code == -signal.SIGKILL:
            self.killed += 1
        else:
            assert code == 1, (code, stderr)
            assert "Traceback" not in stderr, stderr
            lines = [line for line in stderr.splitlines() if line.startswith("meterd: ")]
            assert len(lines) == 1, stderr
            self.failed.append(lines[0])
        self._lose()

    def _lose(self) -> None:
        self.up.clear()
        self.broken += 1
        self._broke.set()
        self._broke = asyncio.Event()

    def _new_server(self, port: int) -> NatsServer:
        source, target = mapping(PREFIX)
        config = f'mappings: {{ "{source}": "{target}" }}'
        if self.stream:
            config += f'\njetstream: {{ store_dir: "{self.directory / "jetstream"}" }}'
        return start_nats_server(self.directory, config, port)


async def pause(process: int, seconds: float) -> None:
    """Stop a process for some time."""
    os.kill(process, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(process, signal.SIGCONT)


now = time.monotonic
