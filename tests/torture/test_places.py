"""What is damaged in a place that matters is not believed, by real processes.

Each test says what has to be said. The places are found by reading the files, and not drawn.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from messages.subjects import PREFIX, request_subject
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.index_file import INDEX
from tests.golden.released import USERS
from tests.support.raw import RawClient
from tests.support.service import ServiceEndedError
from tests.sweep.directory import SETTLED, Made, make
from tests.torture import places
from tests.torture.judging import run_verify
from tests.torture.shim import NoCompilerError, Shim
from tests.torture.stage import NEVER_S, Stage

pytestmark = pytest.mark.timeout(600)

READS: Final = ("stats", "logs", "holds", "subscription", "alerts", "trends")
AGAIN: Final = "track"
"""The user's last call, sent once more."""
WAL: Final = f"{DATABASE}-wal"

Said = dict[tuple[str, str], Any]


class Scene:
    """Real processes on copies of one directory in which everything occurs.

    Attributes:
        today: the undamaged directory.
        said: what a service says on it.
    """

    def __init__(self, work: Path) -> None:
        self.made: Made = asyncio.run(make(work))
        self.today = work / SETTLED
        self.stage = Stage(work / "stage", Shim(work), log_level="error")
        self.stage.shim.set_clock(self.made.at)
        self.data = self.stage.service.data_dir
        self.put_back()
        self.said = self.ask()
        assert not any("error" in answer for answer in self.said.values()), self.said

    def put_back(self) -> None:
        """Have the undamaged files again."""
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.copytree(self.today, self.data)

    def turn(self, file: str, at: int) -> None:
        """Put the undamaged files back, and turn a bit of one of them."""
        self.put_back()
        content = bytearray((self.data / file).read_bytes())
        content[at] ^= 1
        (self.data / file).write_bytes(content)

    def ask(self) -> Said:
        """What a service says of everybody."""
        service = self.stage.service
        service.start(NEVER_S)
        try:
            with RawClient(self.stage.nats.url) as client:
                return {
                    (user, verb): (_listed if verb == "logs" else _asked)(client, verb, user, body)
                    for user in USERS
                    for verb, body in self._questions(user)
                }
        finally:
            service.kill()

    def refusal(self) -> str:
        """The one line with which the start is refused."""
        with pytest.raises(ServiceEndedError) as caught:
            self.stage.service.start(NEVER_S)
        lines = caught.value.stderr.splitlines()
        assert "Traceback" not in caught.value.stderr
        return lines[-1]

    def verify(self) -> tuple[int, str]:
        """The exit code of `meterd verify`, and all that it says."""
        code, output, complaint = asyncio.run(run_verify(self.stage))
        assert "Traceback" not in complaint, complaint
        return code, output + complaint

    def _questions(self, user: str) -> list[tuple[str, dict[str, Any]]]:
        calls = [body for verb, of, body, _ in self.made.changes if (verb, of) == (AGAIN, user)]
        return [*[(verb, {}) for verb in READS], (AGAIN, calls[-1])]


def _asked(client: RawClient, verb: str, user: str, body: dict[str, Any]) -> Any:
    """The answer, once it does not say that another try may help."""
    end = time.monotonic() + NEVER_S / 10
    while True:
        subject = request_subject(PREFIX, verb, user)
        answer = client.request(subject, body, wait_s=NEVER_S).json()
        if "error" not in answer or not answer["error"]["retryable"] or time.monotonic() > end:
            return answer


def _listed(client: RawClient, verb: str, user: str, body: dict[str, Any]) -> Any:
    """What all pages list, or the error in which they end: a page may end before its time."""
    found: list[Any] = []
    while True:
        page = _asked(client, verb, user, body)
        if "error" in page:
            return page
        found += page["logs"]
        if page["next_cursor"] is None:
            return {"logs": found}
        body = {"cursor": page["next_cursor"]}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    try:
        found = Scene(tmp_path_factory.mktemp("places"))
    except NoCompilerError as error:
        pytest.skip(str(error))
    yield found
    found.stage.close()


def test_a_wal_that_is_damaged_amid_what_was_committed_is_refused_and_served_when_put_back(
    scene: Scene,
) -> None:
    frames = places.committed_frames((scene.today / WAL).read_bytes())
    assert len(frames) > 4
    scene.turn(WAL, frames[len(frames) // 2] + 100)
    refusal = scene.refusal()
    assert "ends at row" in refusal
    assert WAL.removesuffix("-wal") in refusal
    code, said = scene.verify()
    assert code
    assert "ends at row" in said
    scene.put_back()
    assert scene.verify()[0] == 0
    assert scene.ask() == scene.said


def test_a_row_that_is_damaged_is_unavailable_by_its_position_and_others_go_on(
    scene: Scene,
) -> None:
    place = places.of_a_row(scene.today)
    scene.turn(DATABASE, place.at)
    code, said = scene.verify()
    assert code
    assert str(place.seq) in said
    found = scene.ask()
    error = found.pop((place.user, "logs"))["error"]
    assert (error["code"], error["retryable"]) == ("unavailable", False)
    assert f"row {place.seq}" in error["message"]
    # Their state comes from a snapshot behind the row.
    assert found == {key: answer for key, answer in scene.said.items() if key in found}
    assert f"row {place.seq}" in scene.stage.service.stderr
    assert "Traceback" not in scene.stage.service.stderr


def test_two_blocks_of_the_index_that_changed_places_are_made_anew_and_nobody_notices(
    scene: Scene,
) -> None:
    scene.put_back()
    path = scene.data / INDEX
    content = path.read_bytes()
    one, *_, two = places.leaves(content)
    first, second = content[one : one + places.PAGE], content[two : two + places.PAGE]
    between = content[one + places.PAGE : two]
    damaged = content[:one] + second + between + first + content[two + places.PAGE :]
    assert damaged != content
    path.write_bytes(damaged)
    code, said = scene.verify()
    assert code
    assert INDEX in said
    assert scene.ask() == scene.said
    assert scene.verify()[0] == 0


def test_a_snapshot_that_is_damaged_is_set_aside_and_the_log_says_the_same(scene: Scene) -> None:
    place = places.of_a_snapshot(scene.today)
    scene.turn(DATABASE, place.at)
    code, said = scene.verify()
    assert code
    assert "snapshot" in said
    assert place.user in said
    assert scene.ask() == scene.said
