"""Each kind of damage, made by hand: `meterd verify` names it, and looks at all else as well."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from actors.audit.findings import Finding
from actors.audit.verify import Verifier
from persistence.errors import Refused
from persistence.sqlite.high_water_mark import MARK
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.inspecting.fault import MEND, MEND_BACKUP, NOTHING_SERVES, NOTHING_STARTS
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.key_filter_store import FILE as KEYS
from tests.support.data import (
    ARCHIVED,
    USERS,
    blank_page_of,
    edit,
    flip,
    key_of,
    patch,
    seq_of,
    verified,
)

MARCH, APRIL = "2026-03-15", "2026-04-14"
ARCHIVE = f"archive/1-{ARCHIVED}.jsonl.gz"
SECOND = "UPDATE log SET notify = 1 - notify WHERE seq = (SELECT max(seq) FROM log)"
"""Another damage, at the other end: whatever is found first does not keep it from being found."""


def last_of(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        return int(db.execute("SELECT max(seq) FROM log").fetchone()[0])


def test_nothing_is_found_in_a_directory_that_is_as_it_was_written(data: Path) -> None:
    report, found = verified(data)
    assert found == []
    assert (report.users, report.snapshots, report.closed) == (30, 30, 30)
    assert {path.name for path in data.iterdir()} >= {KEYS, INDEX, MARK, "archive"}


class Damage(NamedTuple):
    """A damage, and what is said of it: all fields that stand for themselves."""

    make: Callable[[Path], object]
    field: str
    place: str
    why: str
    do: str
    rows: tuple[int, int] | None = None
    users: tuple[str, ...] = ()
    days: tuple[str, str] | None = None
    derived: bool = False
    file: str = "meterd.db"


def of_row(script: str) -> Callable[[Path], object]:
    return lambda directory: edit(directory, f"UPDATE log SET {script} WHERE seq = 100")


def in_row(why: str, users: tuple[str, ...] = ()) -> tuple[Any, ...]:
    place = "row 100 of the log"
    return ("row 100", place, why, MEND_BACKUP, (100, 100), users, (MARCH, MARCH))


def of_file(field: str, why: str, do: str, file: str) -> tuple[Any, ...]:
    return (field, "the whole file", why, do, None, (), None, True, file)


BODY = "its body is not as it was written"
USER = USERS[8]  # that of row 100
HEAD = in_row("it is not as it was written", (USER,))

DAMAGES: dict[str, Damage] = {
    "a body": Damage(of_row("body = '{}'"), *in_row(BODY, (USER,))),
    "a body that is no text": Damage(of_row("body = x'00'"), *in_row(BODY, (USER,))),
    "a body that is no UTF-8": Damage(
        of_row("body = CAST(x'7bff7d' AS TEXT)"),
        *in_row(f"{BODY}: its body cannot be read", (USER,)),
    ),
    "a body that no archive has": Damage(
        of_row("body = ''"),
        *in_row(f"{BODY}: its body is in no archive that the log knows", (USER,)),
    ),
    "a user": Damage(of_row("user_id = 'nobody'"), *HEAD),
    "a user that is no UTF-8": Damage(
        of_row("user_id = CAST(x'ff' AS TEXT)"),
        *in_row("SQLite cannot read the pages that they are in", (USER,)),
    ),
    "a key": Damage(of_row("event_id = 'other'"), *HEAD),
    "a kind": Damage(of_row("kind = 'reset'"), *HEAD),
    "a moment": Damage(of_row("at = at + 1"), *HEAD),
    "a notice": Damage(of_row("notify = 2"), *HEAD),
    "a partition": Damage(of_row("partition = 64"), *HEAD),
    "a stamp": Damage(of_row("chain = zeroblob(24)"), *HEAD),
    "no stamp": Damage(of_row("chain = NULL"), *HEAD),
    "a missing row": Damage(
        lambda it: edit(it, "DELETE FROM log WHERE seq BETWEEN 99 AND 101"),
        "rows 99 to 101",
        "rows 99 to 101 of the log",
        "missing: a row has to be at each position",
        MEND_BACKUP,
        (99, 101),
        ("user 7", "user 8", "user 9"),
        (MARCH, MARCH),
    ),
    "a position": Damage(
        lambda it: edit(it, "UPDATE position SET seq = seq - 1 WHERE name = 'archived'"),
        "position",
        "the position 'archived'",
        "it is not as it was put",
        MEND_BACKUP,
    ),
    "a position that is not there": Damage(
        lambda it: edit(it, "DELETE FROM position WHERE name = 'unchecked'"),
        "position",
        "the position 'unchecked'",
        "it is not there",
        MEND_BACKUP,
    ),
    "a snapshot of another user": Damage(
        lambda it: edit(it, "UPDATE snapshots SET partition = 64 WHERE user_id = 'user 3'"),
        "snapshot",
        "the snapshot of user 3",
        "it is not as it was written",
        NOTHING_SERVES,
        users=("user 3",),
        derived=True,
    ),
    "an entry of an archive": Damage(
        lambda it: edit(it, f"UPDATE archives SET first = {ARCHIVED + 1}"),
        "archive",
        f"the entry of the archive 1-{ARCHIVED}.jsonl.gz",
        "it is not as it was written",
        MEND_BACKUP,
        (1, ARCHIVED),
    ),
    "an entry of before checksums that cannot be": Damage(
        lambda it: edit(it, f"UPDATE archives SET first = {ARCHIVED + 1}, checksum = NULL"),
        "archive",
        f"the entry of the archive 1-{ARCHIVED}.jsonl.gz",
        f"it says rows {ARCHIVED + 1} to {ARCHIVED}, behind row 0",
        MEND_BACKUP,
    ),
    "an archive": Damage(
        lambda it: patch(it / ARCHIVE, lambda content: content.__setitem__(30, content[30] ^ 1)),
        "archive",
        "the block at byte 0",
        f"the block of 1-{ARCHIVED}.jsonl.gz with rows 3 to {ARCHIVED} is not as it was written",
        "put a copy of the file back in its place",
        (3, ARCHIVED),
        tuple(USERS),
        (MARCH, MARCH),
        file=ARCHIVE,
    ),
    "an archive that is longer": Damage(
        lambda it: patch(it / ARCHIVE, lambda content: content.extend(b"more")),
        "archive",
        "its end",
        f"1-{ARCHIVED}.jsonl.gz has 4 bytes behind its last block",
        "put a copy of the file back in its place",
        file=ARCHIVE,
    ),
    "a mark": Damage(
        lambda it: patch(it / MARK, lambda content: content.__setitem__(3, 1)),
        *of_file("mark", "it is not as it was written, and says no position", NOTHING_SERVES, MARK),
    ),
    "a mark that is empty": Damage(
        lambda it: (it / MARK).write_bytes(b""),
        *of_file("mark", "it is empty", NOTHING_SERVES, MARK),
    ),
    "an index that is empty": Damage(
        lambda it: (it / INDEX).write_bytes(b""),
        *of_file("index", "it is empty", NOTHING_SERVES, INDEX),
    ),
    "a filter": Damage(
        lambda it: patch(it / KEYS, lambda content: content.__setitem__(-99, 1)),
        *of_file("keys", "it is damaged", NOTHING_STARTS, KEYS),
    ),
    "a filter of a version that never was": Damage(
        lambda it: flip(it / KEYS, '"version":1'),
        *of_file("keys", "it is of another version", NOTHING_STARTS, KEYS),
    ),
    "an index that is cut": Damage(
        lambda it: patch(it / INDEX, lambda content: content.__delitem__(slice(5_000, None))),
        "structure",
        "its pages",
        "",
        NOTHING_SERVES,
        derived=True,
        file=INDEX,
    ),
    "an index that is none": Damage(
        lambda it: patch(it / INDEX, lambda content: content.__setitem__(3, 1)),
        "structure",
        "its pages",
        "SQLite says: its check ended at a page that cannot be read",
        NOTHING_SERVES,
        derived=True,
        file=INDEX,
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_named_with_all_that_is_known_of_it_and_all_else_is_looked_at(
    data: Path, name: str
) -> None:
    damage = DAMAGES[name]
    last = last_of(data)
    edit(data, SECOND)
    _, before = verified(data)
    damage.make(data)
    report, found = verified(data)
    mine = [one for one in found if one.field == damage.field and one not in before]
    assert len(mine) == 1, found
    assert mine[0]._replace(why="") == Finding(
        "",
        "",
        damage.field,
        "",
        damage.file,
        damage.place,
        damage.rows,
        damage.users,
        damage.days,
        damage.derived,
        damage.do,
    )
    assert mine[0].why == damage.why or (not damage.why and mine[0].why)
    assert [one for one in found if one.field == f"row {last}"] == before[:1]
    assert (report.last, report.users) == (last, 30)


def test_rows_on_a_page_that_cannot_be_read_are_one_finding_and_those_behind_are_looked_at(
    data: Path,
) -> None:
    edit(data, SECOND)
    seq = seq_of(data, 2, "user 20")
    last = last_of(data)
    blank_page_of(data, key_of(2, "user 20"))
    report, found = verified(data)
    (rows,) = [
        one for one in found if one.rows and one.rows[0] <= seq <= one.rows[1] and not one.user
    ]
    assert rows.rows is not None
    first, final = rows.rows
    assert rows.why == "SQLite cannot read the pages that they are in"
    assert (rows.field, rows.do) == (f"rows {first} to {final}", MEND_BACKUP)
    assert rows.days == (MARCH, MARCH)
    assert "user 20" in rows.users  # as the index says
    assert 1 < final - first + 1 < 60
    assert report.rows == last - (final - first + 1)
    assert [one.rows for one in found if one.field.startswith("row ")] == [(last, last)]
    (structure,) = [one for one in found if one.field == "structure"]
    assert structure.place == "the table log or an index of it"
    assert "malformed" not in structure.why
    # Users whose rows are there are compared, and nothing is said of them.
    differing = {one.user for one in found if one.user}
    assert 0 < len(differing) <= final - first + 1
    assert all(one.do.startswith("mend the rows") for one in found if one.user)


def test_a_snapshot_that_cannot_be_read_is_named_with_its_user(data: Path) -> None:
    edit(data, "UPDATE snapshots SET user_id = user_id")  # its text is in an index too
    with closing(sqlite3.connect(data / "meterd.db")) as db:
        (body,) = db.execute("SELECT body FROM snapshots WHERE user_id = 'user 7'").fetchone()
    blank_page_of(data, body[-32:].decode())
    _, found = verified(data)
    lost = [one for one in found if one.field == "snapshot"]
    assert "user 7" in {user for one in lost for user in one.users}
    assert {(one.derived, one.do) for one in lost} == {(True, NOTHING_SERVES)}
    assert {one.field for one in found} == {"snapshot", "structure"}


def test_pages_that_changed_places_hide_no_rows_between_them(data: Path) -> None:
    texts = [key_of(2, "user 20"), key_of(4, "user 20")]

    def swap(content: bytearray) -> None:
        one, other = (content.index(text.encode()) // 4096 * 4096 for text in texts)
        assert one != other
        kept = content[one : one + 4096]
        content[one : one + 4096] = content[other : other + 4096]
        content[other : other + 4096] = kept

    first, last = (seq_of(data, turn, "user 20") for turn in (2, 4))
    patch(data / "meterd.db", swap)
    report, found = verified(data)
    lost = [one.rows for one in found if one.field.startswith("row") and one.rows]
    assert any(one[0] <= first <= one[1] for one in lost)
    assert any(one[0] <= last <= one[1] for one in lost)
    assert sum(one[1] - one[0] + 1 for one in lost) < 80
    assert report.rows > 120


def test_a_log_that_ends_before_its_mark_is_a_finding_that_says_what_is_missing(
    data: Path,
) -> None:
    last = last_of(data)
    edit(data, f"DELETE FROM log WHERE seq > {last - 5}")
    with pytest.raises(Refused, match=f"row {last}"):
        Inspection.open(data)
    report, found = verified(data)
    (end,) = [one for one in found if one.rows == (last - 4, last)]
    assert "its WAL is damaged or gone" in end.why
    assert (end.file, end.do, end.derived) == ("meterd.db", MEND_BACKUP, False)
    assert report.rows == last - 5


def test_a_definition_that_is_another_one_is_named(data: Path) -> None:
    flip(data / "meterd.db", "the log is append-only")
    patch(data / INDEX, in_capitals)
    _, found = verified(data)
    assert {(one.file, one.place) for one in found} == {
        ("meterd.db", "the trigger log_is_never_removed"),
        ("meterd.db", "the trigger log_is_never_changed"),
        (INDEX, "the table runs"),
    }
    assert {(one.field, one.why) for one in found} == {
        ("structure", "its definition is not as it was written")
    }


def in_capitals(content: bytearray) -> None:
    text = b"CREATE TABLE runs"
    at = content.index(text)
    content[at : at + len(text)] = text.upper()


def test_an_index_of_sqlite_that_lacks_a_row_is_named_and_no_row_is(data: Path) -> None:
    with closing(sqlite3.connect(data / "meterd.db")) as db:
        db.executescript(
            "CREATE INDEX mine ON log (kind) WHERE seq < 50; PRAGMA writable_schema = ON;"
            "UPDATE sqlite_master SET sql = replace(sql, '50', '90') WHERE name = 'mine'"
        )
    _, (found,) = verified(data)
    assert (found.field, found.place, found.do) == ("structure", "the index mine", MEND)
    assert found.derived
    assert found.why.startswith("SQLite says: ")


def test_a_chain_that_is_followed_alone_names_rows_and_the_end_too(data: Path) -> None:
    edit(data, "UPDATE log SET body = '{}' WHERE seq = 100; UPDATE snapshots SET body = x'00'")
    found: list[Finding] = []
    with Inspection.open(data, whole=False) as log:
        report = Verifier(log, found.append, lambda _: None).follow_chain()
    assert [one.field for one in found] == ["row 100"]
    assert (report.rows, report.users) == (last_of(data), 0)


def test_a_database_whose_first_page_is_damaged_is_one_clear_error(data: Path) -> None:
    patch(data / "meterd.db", lambda content: content.__setitem__(slice(0, 50), bytes(50)))
    with pytest.raises(Refused) as caught:
        Inspection.open(data, whole=False)
    said = str(caught.value)
    assert "meterd.db" in said
    assert "meterd mend" in said
    assert len(said.splitlines()) == 1
