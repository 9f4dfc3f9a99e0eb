"""No memory is left, wherever that shows: the loop hears of it at once, and so does the process."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from actors.edge.live_client import LiveClient
from actors.edge.outages import Outages
from actors.user.actor import UserActor
from persistence.errors import Unavailable
from persistence.exhaustion import is_exhausted
from tests.support.faults import FaultyJournal, sqlite_error
from tests.support.rig import Rig, until

Plant = Callable[[pytest.MonkeyPatch, Rig], None]
IOERR_NOMEM = 3082


def exhaust(*_: Any, **__: Any) -> Any:
    raise MemoryError


async def exhaust_later(*_: Any, **__: Any) -> Any:
    raise MemoryError


def in_a_handler(patch: pytest.MonkeyPatch, _: Rig) -> None:
    patch.setattr(UserActor, "handle", exhaust)


def in_a_load(patch: pytest.MonkeyPatch, _: Rig) -> None:
    patch.setattr(FaultyJournal, "load", exhaust_later)


def in_a_write(patch: pytest.MonkeyPatch, _: Rig) -> None:
    patch.setattr(FaultyJournal, "append", exhaust_later)


def in_the_edge(patch: pytest.MonkeyPatch, rig: Rig) -> None:
    patch.setattr(rig.service._edge, "_dispatch", exhaust)


@pytest.mark.parametrize("plant", [in_a_handler, in_a_load, in_a_write, in_the_edge])
async def test_the_loop_hears_at_once_that_no_memory_is_left(
    plant: Plant, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
    with monkeypatch.context() as patch:
        plant(patch, rig)
        rig.track()
        await until(lambda: bool(heard))
    loop.set_exception_handler(None)
    assert all(isinstance(error, MemoryError) for error in heard)
    await rig.crash()


async def test_the_loop_hears_of_a_detour_that_finds_no_memory(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    loop = asyncio.get_running_loop()
    assert (await rig.ask("track", provider="exa")).code == ""
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
    with monkeypatch.context() as patch:
        patch.setattr(FaultyJournal, "newest", exhaust_later)
        rig.send("logs")
        await until(lambda: bool(heard))
    loop.set_exception_handler(None)
    assert isinstance(heard[0], MemoryError)
    await rig.crash()


async def test_the_loop_hears_of_a_read_of_nats_py_that_finds_no_memory() -> None:
    heard: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
    client: Any = LiveClient(dict, Outages())
    client._transport = SimpleNamespace(at_eof=lambda: False, read=exhaust_later)
    await client._read_loop()
    loop.set_exception_handler(None)
    assert isinstance(heard[0], MemoryError)


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        ImportError("libx.so: failed to map segment from shared object"),
        sqlite_error(sqlite3.SQLITE_NOMEM),
        sqlite_error(IOERR_NOMEM),
        raised_from(Unavailable("x"), raised_from(ValueError(), MemoryError())),
    ],
    ids=repr,
)
def test_an_error_about_memory_is_recognized(error: Exception) -> None:
    assert is_exhausted(error)


@pytest.mark.parametrize(
    "error",
    [None, OSError(errno.ENOSPC, "x"), RuntimeError("x"), sqlite_error(sqlite3.SQLITE_FULL)],
    ids=repr,
)
def test_another_error_is_not_taken_for_one_about_memory(error: Exception | None) -> None:
    assert not is_exhausted(error)


def test_causes_that_go_in_a_circle_are_followed_for_a_while_only() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert not is_exhausted(first)
