"""What a source says of a position: a row that may be the one, or what is left of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from messages.stored.events import (
    ERASED,
)
from messages.subjects import PARTITIONS
from persistence.chain.chain import LINK_BYTES, about_of, link
from persistence.chain.checksum import STAMP_BYTES, body_fits, head_fits, stamp
from persistence.records import Row
from persistence.sqlite.checked import MISTYPED, OF_BEFORE


class Torn(NamedTuple):
    """A row of which only the first part is as it was written: whose it was, and its link."""

    seq: int
    partition: int
    user: str
    key: str | None
    at: int
    link: bytes


class Candidate(NamedTuple):
    """A row of a source, with what stands beside it there.

    Attributes:
        row: the row; its body is empty if it is in an archive.
        proof: the random bytes of its personal fields, or what was left for them.
        stored: its stamp, only its link if it is older than checksums, or nothing at all.
        is_archived: whether the body is that of an archive, and none is in the log.
    """

    row: Row
    proof: bytes | None
    stored: bytes
    is_archived: bool = False

    @property
    def link(self) -> bytes:
        """The row's link, empty if it has none."""
        return self.stored[:LINK_BYTES]

    @property
    def is_stamped(self) -> bool:
        """Whether it has a checksum, which fits: it would be no candidate else."""
        return len(self.stored) == STAMP_BYTES

    @property
    def is_erased(self) -> bool:
        """Whether its personal fields were erased."""
        return self.row.personal == ERASED

    @property
    def has_personal(self) -> bool:
        """Whether it has personal fields still."""
        return self.row.personal is not None and not self.is_erased

    def follows(self, before: bytes) -> bool | None:
        """Whether its link builds on another one; None if it lacks the body to tell."""
        if not self.row.body:
            return None
        return link(before, self.row, about_of(self.row.personal, self.proof)) == self.link

    def filled(self, body: str) -> Candidate | Torn:
        """The same with its body of an archive, if all of it is as it was written then."""
        one = self._replace(row=self.row._replace(body=body), is_archived=True)
        return one if not one.is_stamped or one.is_whole() else self.torn()

    def torn(self) -> Torn:
        """What is left of it if the rest is not as it was written."""
        seq, partition, user, key, _, at, *_ = self.row
        return Torn(seq, partition, user, key, at, self.link)

    def fields(self) -> tuple[object, ...]:
        """As the log has it, in the order of `checked.FIELDS`."""
        row = self.row._replace(body="") if self.is_archived else self.row
        return (*row, self.proof, self.stored or None)

    def stamped(self) -> Candidate:
        """The same with a checksum over all that it says."""
        made = stamp(self.link, self.row, about_of(self.row.personal, self.proof))
        return self._replace(stored=bytes(made))

    def erased(self) -> Candidate:
        """The same without its personal fields; link and checksum fit to that as before."""
        proof = about_of(self.row.personal, self.proof) if self.proof else None
        return self._replace(row=self.row._replace(personal=ERASED), proof=proof)

    def is_whole(self) -> bool:
        """Whether body and personal fields are those of its checksum."""
        return body_fits(self.row, about_of(self.row.personal, self.proof), self.stored)


def candidate(found: Sequence[Any]) -> Candidate | Torn | None:
    """What the fields of a row are, in the order of `checked.FIELDS`; None if they are no row.

    A text that is no UTF-8 has surrogates.
    """
    if len(found) != 11 or not _is_typed(found):
        return None
    seq, partition, user, key, kind, at, notify, body, personal, proof, stored = found
    row = Row(seq, partition, user, key, kind, at, notify == 1, body, personal)
    stored = stored or b""
    if len(stored) in OF_BEFORE:
        return Candidate(row, proof, stored) if _is_text(row) else None
    if len(stored) != STAMP_BYTES or not _fits(lambda: head_fits(row, stored)):
        return None
    if body == "":
        is_whole = _is_text(row)  # the rest is compared with the body of its archive
    else:
        is_whole = _fits(lambda: body_fits(row, about_of(personal, proof), stored))
    if is_whole:
        return Candidate(row, proof, stored)
    return Torn(seq, partition, user, key, at, stored[:LINK_BYTES])


def _fits(compared: Callable[[], bool]) -> bool:
    try:
        return compared()
    except MISTYPED:
        return False


def _is_text(row: Row) -> bool:
    """Whether the fields that are texts are such, and can be written as such."""
    texts = (row.user, row.key or "", row.kind, row.body, row.personal or "")
    return _fits(lambda: "".join(texts).encode() is not None)


def _is_typed(found: Sequence[Any]) -> bool:
    seq, partition, user, key, kind, at, notify, _, personal, proof, stored = found
    return (
        type(seq) is int
        and seq > 0
        and type(partition) is int
        and 0 <= partition < PARTITIONS
        and type(user) is str
        and (key is None or type(key) is str)
        and type(kind) is str
        and type(at) is int
        and notify in {0, 1}
        and (personal is None or type(personal) is str)
        and (proof is None or type(proof) is bytes)
        and (stored is None or type(stored) is bytes)
    )
