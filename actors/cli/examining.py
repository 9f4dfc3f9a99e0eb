"""What a doctor looks at: each look gives its findings, with what is to be done."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, NamedTuple

import msgspec
import nats.errors
from nats.aio.client import Client

from actors.cli.looking import answers, of_prefix, server_version, settle
from messages.codec import decode_error
from messages.subjects import mapping, partition_of
from messages.verbs import CATALOG_VERBS, VERBS
from persistence.errors import JournalError
from persistence.sqlite.data_dir import DATABASE, PART, is_held, wal_of
from persistence.sqlite.inspection import Inspection

PAYLOAD_MIN: Final = 1024 * 1024
"""Replies have up to 900 KiB."""
ASK_S: Final = 3.0
"""How long each question may take."""
CLOCK_S: Final = 1.0
DISK_MIN: Final = 1024**3
WAL_MAX: Final = 64 * 1024**2
_MB: Final = 1_000_000


class Finding(NamedTuple):
    """Of a look: what it is about, ok, warning or problem, what was seen, and what to do."""

    about: str
    level: str
    what: str
    do: str = ""


Look = Callable[[Client, str, list[str]], Awaitable[list[Finding]]]


async def server(client: Client, _: str, __: list[str]) -> list[Finding]:
    """Whether the server takes what meterd answers."""
    about = f"nats-server {server_version(client)}"
    if client.max_payload < PAYLOAD_MIN:
        what = f"{about} takes messages of {client.max_payload:,} bytes; replies have up to 900 KiB"
        return [Finding("server", "warning", what, "set max_payload to 1MB or more")]
    return [Finding("server", "ok", about)]


async def service(client: Client, prefix: str, complaints: list[str]) -> list[Finding]:
    """Whether one meterd serves the prefix."""
    heard = await answers(client, "$SRV.STATS.meterd")
    ours = [each for each in heard if of_prefix(each, prefix)]
    if any("$SRV" in complaint for complaint in complaints):
        do = "allow publishing to $SRV.> to see the service"
        return [Finding("service", "warning", "these credentials may not ask who serves", do)]
    if not ours:
        others = {str((each.get("metadata") or {}).get("prefix")) for each in heard}
        there = f"; there are others: {', '.join(sorted(others))}" if others else ""
        do = "start meterd serve or meterd up, or set METERD_PREFIX"
        return [Finding("service", "problem", f"no meterd serves {prefix}{there}", do)]
    if len(ours) > 1:
        names = ", ".join(str(each.get("id")) for each in ours)
        return [
            Finding(
                "service", "problem", f"{len(ours)} serve {prefix}: {names}", "stop all but one"
            )
        ]
    figures = (ours[0].get("endpoints") or [{}])[0].get("data") or {}
    if not figures.get("accepting", True):
        do = "look for the reason in its log; a full or failing disk is the usual one"
        return [Finding("service", "problem", "it takes no writes", do)]
    if figures.get("overloaded"):
        return [Finding("service", "warning", "it is overloaded", "slow the callers down")]
    return [Finding("service", "ok", f"meterd {ours[0].get('version')}, id {ours[0].get('id')}")]


async def partitions(client: Client, prefix: str, complaints: list[str]) -> list[Finding]:
    """Whether the server maps users to partitions, as meterd expects it.

    Nobody has the verb that is published, and nobody is to answer it.
    """
    token = f"doctor-{token_hex(8)}"
    plain, mapped = f"{prefix}.doctor.{token}", f"{prefix}.p.*.doctor.{token}"
    first, second = await client.subscribe(plain), await client.subscribe(mapped)
    await client.publish(plain, b"")
    await settle(client)
    if any(token in complaint for complaint in complaints):
        do = "ask with the credentials of an administrator"
        return [Finding("mapping", "ok", "these credentials may not look at it", do)]
    if second.pending_msgs:
        subject = (await second.next_msg(timeout=1)).subject
        number = subject.removeprefix(f"{prefix}.p.").partition(".")[0]
        if number != str(partition_of(token)):
            source, target = mapping(prefix)
            do = f"map {source} to {target}"
            return [Finding("mapping", "problem", "users are mapped to other partitions", do)]
        return [Finding("mapping", "ok", "the server maps users to partitions")]
    if first.pending_msgs:
        return [Finding("mapping", "ok", "no mapping: the service answers the public subjects")]
    do = "see that no other mapping or import takes the subjects away"
    return [Finding("mapping", "problem", f"what is published on {plain} arrives nowhere", do)]


async def permissions(client: Client, prefix: str, complaints: list[str]) -> list[Finding]:
    """Which verbs the credentials may ask for: each is sent what no verb takes."""
    verbs = [*VERBS, *CATALOG_VERBS]
    subjects = {
        verb.name: f"{prefix}.{verb.name}" + ("" if verb in CATALOG_VERBS else ".doctor")
        for verb in verbs
    }
    for subject in subjects.values():
        await client.publish(subject, b"[")
    await settle(client)
    said = " ".join(complaints).lower()
    refused = [name for name, subject in subjects.items() if f'"{subject}"'.lower() in said]
    if not refused:
        return [Finding("permissions", "ok", "these credentials may ask for every verb")]
    level = "problem" if len(refused) == len(verbs) else "ok"
    do = "give the user a role of docs/security.md" if level == "problem" else ""
    return [Finding("permissions", level, f"not allowed: {', '.join(refused)}", do)]


async def streams(client: Client, prefix: str, _: list[str]) -> list[Finding]:
    """Streams that capture requests: they answer first, with an acknowledgement."""
    taken = [f"{prefix}.{verb.name}.u" for verb in VERBS] + [f"{prefix}.p.1.track.u"]
    taken += [f"{prefix}.{verb.name}" for verb in CATALOG_VERBS]
    body = msgspec.json.encode({"subject": f"{prefix}.>"})
    try:
        reply = await client.request("$JS.API.STREAM.LIST", body, timeout=ASK_S)
    except (nats.errors.Error, TimeoutError):
        return [Finding("streams", "ok", "no JetStream for these credentials")]
    found: dict[str, Any] = msgspec.json.decode(reply.data)
    configs = [each.get("config") or {} for each in found.get("streams") or []]
    in_the_way = [
        Finding(
            "streams",
            "problem",
            f"the stream {each.get('name')} captures requests ({', '.join(each['subjects'])})",
            f"take them out of the stream: {prefix}.alert.> and {prefix}.event.> are enough",
        )
        for each in configs
        if not each.get("no_ack") and _captures(each.get("subjects") or [], taken)
    ]
    return in_the_way or [Finding("streams", "ok", "no stream captures requests")]


async def clock(client: Client, prefix: str, _: list[str]) -> list[Finding]:
    """How far the clocks are apart: every error says what the service's shows."""
    sent = datetime.now(UTC)
    try:
        reply = await client.request(f"{prefix}.catalog.providers.list", b"[", timeout=ASK_S)
        there = decode_error(reply.data).now
    except (nats.errors.Error, TimeoutError, msgspec.DecodeError):
        return [Finding("clock", "ok", "the service was not asked")]
    if there is None:
        return [Finding("clock", "ok", "the service does not say what its clock shows")]
    # It was looked at between the two: so far it is ahead at least, and at most.
    least, most = (there - moment for moment in (datetime.now(UTC), sent))
    if least.total_seconds() >= CLOCK_S:
        what = f"the service's clock is {least.total_seconds():.1f} s ahead of this one"
    elif most.total_seconds() <= -CLOCK_S:
        what = f"the service's clock is {-most.total_seconds():.1f} s behind this one"
    else:
        what = "the clocks are less than a second apart, as far as an answer can tell"
        return [Finding("clock", "ok", what)]
    return [Finding("clock", "problem", what, "set both by NTP: deadlines and periods need it")]


WIRE: Final[tuple[Look, ...]] = (server, service, partitions, permissions, streams, clock)


def _captures(patterns: Iterable[str], subjects: Iterable[str]) -> bool:
    return any(covers(pattern, subject) for pattern in patterns for subject in subjects)


def covers(pattern: str, subject: str) -> bool:
    """Whether a pattern of NATS, with ``*`` and ``>``, covers a subject."""
    wanted, there = pattern.split("."), subject.split(".")
    for place, part in enumerate(wanted):
        if part == ">":
            return len(there) > place
        if place >= len(there) or part not in {"*", there[place]}:
            return False
    return len(wanted) == len(there)


def examine_directory(directory: Path) -> list[Finding]:
    """The disk, the files and the WAL of a data directory, if it is on this machine."""
    if not directory.is_dir():
        what = f"there is no {directory}: the log is elsewhere, or nothing was ever stored"
        return [Finding("files", "ok", what, "name it by --data-dir to have it looked at")]
    free = shutil.disk_usage(directory).free
    level = "ok" if free >= DISK_MIN else "warning"
    do = "" if level == "ok" else "make room: without it no call is recorded"
    found = [Finding("disk", level, f"{free // _MB:,} MB are free", do), *_log(directory)]
    wal = wal_of(directory / DATABASE)
    size = wal.stat().st_size if wal.exists() else 0
    if size > WAL_MAX:
        do = "end the program that holds a read on the database, such as an open sqlite3 shell"
        found.append(Finding("WAL", "warning", f"{wal} has {size // _MB:,} MB", do))
    else:
        found.append(Finding("WAL", "ok", f"{size // _MB:,} MB"))
    return found


def _log(directory: Path) -> list[Finding]:
    found = []
    part = directory / PART
    if part.exists():
        do = "remove it and restore again"
        found.append(Finding("files", "problem", f"{part} is left of a broken restore", do))
    database = directory / DATABASE
    if database.exists() and database.stat().st_mode & 0o077:
        do = f"chmod go= {database}"
        found.append(Finding("files", "warning", f"others may open {database}", do))
    try:
        with Inspection.open(directory) as log:
            last, rows = log.size()
    except JournalError as error:
        do = "run meterd verify: it says what is damaged, and what to do"
        return [*found, Finding("files", "problem", str(error), do)]
    held = "in use" if is_held(directory) else "not in use"
    return [*found, Finding("files", "ok", f"{rows:,} rows up to {last:,}, {held}")]
