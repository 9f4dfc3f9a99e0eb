"""Redis as a meter: a script checks the key, adds to the counters and appends the event.

`appendfsync always`: what is answered is on the disk. The load is that of meterd: a bare socket
with a window of requests in flight, so that one fsync serves many.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools.bench.calls import MODELS, keys
from tests.tools.bench.load import WINDOW
from tests.tools.bench.postgres import BODY
from tests.tools.bench.wire import LoadError

BINARY = "redis-server"
WAIT_S = 30.0
SCRIPT = b"""
if redis.call('HSETNX', KEYS[1], ARGV[1], 1) == 0 then return 0 end
redis.call('HINCRBY', KEYS[2], ARGV[2] .. ':calls', 1)
redis.call('HINCRBY', KEYS[2], ARGV[2] .. ':tokens', ARGV[3])
redis.call('HINCRBY', KEYS[2], ARGV[2] .. ':cost', ARGV[4])
redis.call('RPUSH', KEYS[3], ARGV[1] .. ARGV[5])
return 1
"""
COUNTED = b":1\r\n"


def installed() -> bool:
    """Whether the server is there."""
    return shutil.which(BINARY) is not None


@contextmanager
def server(directory: Path) -> Iterator[str]:
    """A throw-away server on a socket; gives the socket's path."""
    directory.mkdir(parents=True)
    path = directory / "socket"
    settings = {"port": "0", "unixsocket": path, "dir": directory, "save": ""}
    settings |= {"appendonly": "yes", "appendfsync": "always", "daemonize": "no"}
    words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen([BINARY, *words], stdout=log, stderr=log) as process,
    ):
        try:
            deadline = time.monotonic() + WAIT_S
            while not path.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit((directory / "log").read_text())
                time.sleep(min(0.01, WAIT_S))
            yield str(path)
        finally:
            process.terminate()


def packed(*words: bytes) -> bytes:
    """A command as the server reads it."""
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(words), b"".join(parts))


def requests(digest: bytes, users: int) -> Iterator[bytes]:
    """Calls, each with a fresh key."""
    rng, fresh = random.Random(), keys()
    while True:
        user = b"t%d" % rng.randrange(users)
        provider, _ = rng.choice(MODELS)
        tokens = b"%d" % rng.randint(30, 2500)
        names = (b"k:" + user, b"c:" + user, b"e:" + user)
        values = (next(fresh), provider.encode(), tokens, tokens + b"000", BODY.encode())
        yield packed(b"EVALSHA", digest, b"3", *names, *values)


def run(path: str, seconds: float, users: int) -> float:
    """Calls for some seconds; return the calls a second.

    Raises:
        LoadError: a call was not counted.
    """
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(WAIT_S)
        wire.connect(path)
        wire.sendall(packed(b"SCRIPT", b"LOAD", SCRIPT))
        digest = wire.recv(100).split(b"\r\n")[1]
        calls = requests(digest, users)
        count, rest, in_flight = 0, b"", 0
        start = time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            wire.sendall(b"".join([next(calls) for _ in range(WINDOW - in_flight)]))
            data = rest + wire.recv(1 << 16)
            done = len(data) // len(COUNTED)
            if data[: done * len(COUNTED)] != COUNTED * done or not data:
                raise LoadError(data[:1000].decode(errors="replace"))
            rest = data[done * len(COUNTED) :]
            count += done
            in_flight = WINDOW - done
    return count / spent


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--users", type=int, default=1000)
    options = parser.parse_args()
    print(json.dumps({"rate": run(options.path, options.seconds, options.users)}))


if __name__ == "__main__":
    main()
